//! The helper's side: a virtual machine with Bio-Formats in it, and the readers that are open there.

use std::path::Path;

use jni::objects::{GlobalRef, JByteArray, JObject, JObjectArray, JShortArray, JString, JThrowable, JValue};
use jni::{InitArgsBuilder, JNIEnv, JNIVersion, JavaVM};

use super::talk::{Described, File, Image, Part, Request, Resolution};
use crate::error::{Error, Kind, Result};
use crate::helper::Refusal;

/// Readers that stay open.
const OPEN: usize = 4;
/// Series, resolutions and files that are described; more are refused by the daemon too.
const MANY: i32 = 1 << 16;

type Outcome<T> = std::result::Result<T, Refusal>;

/// The virtual machine with what is kept of it between requests.
pub(super) struct Machine {
    env: JNIEnv<'static>,
    /// `OMEXMLService`.
    service: GlobalRef,
    open: Vec<Open>,
}

struct Open {
    file: File,
    reader: GlobalRef,
}

/// What a virtual machine is started with.
pub(super) struct Start<'a> {
    pub library: &'a Path,
    pub jar: &'a Path,
    /// Bytes of its heap.
    pub heap: u64,
    /// Where it may write.
    pub scratch: &'a Path,
}

impl Machine {
    /// Starts it and looks for Bio-Formats.
    pub fn start(with: &Start<'_>) -> Result<Self> {
        let options = [
            format!("-Djava.class.path={}", with.jar.display()),
            format!("-Xmx{}k", with.heap >> 10),
            format!("-Djava.io.tmpdir={}", with.scratch.display()),
            format!("-Duser.home={}", with.scratch.display()),
            "-Djava.awt.headless=true".into(),
            "-Dfile.encoding=UTF-8".into(),
            // Nothing is written but what is asked for; no way in for debuggers.
            "-XX:-UsePerfData".into(),
            "-XX:ErrorFile=/dev/null".into(),
            "-XX:+DisableAttachMechanism".into(),
            // One thread collects: helpers share the processors with the daemon.
            "-XX:+UseSerialGC".into(),
            "-Xrs".into(),
        ];
        let fail =
            |e: &dyn std::fmt::Display| Error::unsupported(format!("the Java virtual machine does not start ({e})"));
        let arguments = options.iter().fold(InitArgsBuilder::new().version(JNIVersion::V8), |args, o| args.option(o));
        let arguments = arguments.ignore_unrecognized(true).build().map_err(|e| fail(&e))?;
        let vm = JavaVM::with_libjvm(arguments, || Ok(with.library)).map_err(|e| fail(&e))?;
        // It lives as long as this process.
        let vm: &'static JavaVM = Box::leak(Box::new(vm));
        let mut env = vm.attach_current_thread_permanently().map_err(|e| fail(&e))?;
        let service = service(&mut env).map_err(|e| {
            let refusal = told(&mut env, &e);
            Error::unsupported(format!("no Bio-Formats in {} ({})", with.jar.display(), refusal.error.what()))
        })?;
        Ok(Machine { env, service, open: Vec::new() })
    }

    /// Does one request.
    pub fn answer(&mut self, request: &[u8]) -> Outcome<Vec<u8>> {
        let request: Request = serde_json::from_slice(request)
            .map_err(|e| Error::new(Kind::Internal, format!("a request that is none ({e})")))?;
        let text = |v: serde_json::Result<Vec<u8>>| Ok(v.map_err(|e| Error::new(Kind::Internal, e.to_string()))?);
        match request {
            Request::Endings => {
                let reader = self.guarded(|env, _| new_reader(env).map(Some))?;
                let found = self.with(reader.as_ref(), |env, r| texts(env, r, "getSuffixes"))?;
                text(serde_json::to_vec(&found))
            }
            Request::Open(file) => {
                self.close(&file.path);
                let reader = self.reader(&file, true)?;
                let described = self.with(Some(&reader.0), |env, r| describe(env, r, reader.1.as_ref()));
                if described.is_err() {
                    self.close(&file.path);
                }
                text(serde_json::to_vec(&described?))
            }
            Request::Read(file, part) => {
                let reader = self.reader(&file, false)?;
                let read = self.with(Some(&reader.0), |env, r| read(env, r, part));
                if read.is_err() {
                    // Whatever went wrong, a fresh reader knows nothing of it.
                    self.close(&file.path);
                }
                read
            }
        }
    }

    /// The reader of a file, with the metadata that it filled where they are wanted.
    fn reader(&mut self, file: &File, metadata: bool) -> Outcome<(GlobalRef, Option<GlobalRef>)> {
        if let Some(at) = self.open.iter().position(|o| o.file == *file) {
            let known = self.open.remove(at);
            let reader = known.reader.clone();
            self.open.push(known);
            return Ok((reader, None));
        }
        // An older state of the same file.
        self.close(&file.path);
        while self.open.len() >= OPEN {
            let oldest = self.open[0].file.path.clone();
            self.close(&oldest);
        }
        let path = file.path.clone();
        let (reader, store) = self.guarded(|env, service| {
            let reader = new_reader(env)?;
            let store = if metadata {
                let signature = "()Lloci/formats/ome/OMEXMLMetadata;";
                let store = env.call_method(service, "createOMEXMLMetadata", signature, &[])?.l()?;
                let signature = "(Lloci/formats/meta/MetadataStore;)V";
                env.call_method(&reader, "setMetadataStore", signature, &[JValue::Object(&store)])?;
                Some(env.new_global_ref(store)?)
            } else {
                None
            };
            let name = env.new_string(path)?;
            let opened = env.call_method(&reader, "setId", "(Ljava/lang/String;)V", &[JValue::Object(&name)]);
            if opened.is_err() {
                // What it opened so far is closed, but not before the exception has been put aside.
                let thrown = env.exception_occurred()?;
                env.exception_clear()?;
                let _ = env.call_method(&reader, "close", "()V", &[]);
                let _ = env.exception_clear();
                env.throw(thrown)?;
            }
            opened?;
            Ok((reader, store))
        })?;
        self.open.push(Open { file: file.clone(), reader: reader.clone() });
        Ok((reader, store))
    }

    fn close(&mut self, path: &str) {
        while let Some(at) = self.open.iter().position(|o| o.file.path == path) {
            let gone = self.open.remove(at);
            let _ = self.with(Some(&gone.reader), |env, r| env.call_method(r, "close", "()V", &[]).map(drop));
        }
    }

    /// Calls with a reader, in a frame of local references of its own.
    fn with<T>(
        &mut self,
        reader: Option<&GlobalRef>,
        call: impl FnOnce(&mut JNIEnv<'_>, &JObject<'_>) -> jni::errors::Result<T>,
    ) -> Outcome<T> {
        self.guarded(|env, _| match reader {
            Some(reader) => call(env, reader.as_obj()),
            None => Err(jni::errors::Error::NullPtr("reader")),
        })
    }

    /// Calls in a frame of local references of its own; what is thrown becomes an error.
    fn guarded<T>(&mut self, call: impl FnOnce(&mut JNIEnv<'_>, &JObject<'_>) -> jni::errors::Result<T>) -> Outcome<T> {
        let service = self.service.clone();
        let done = self.env.with_local_frame(64, |env| call(env, service.as_obj()).map_err(|e| Caught(told(env, &e))));
        done.map_err(|caught: Caught| caught.0)
    }
}

/// A refusal, made where the exception was still at hand.
struct Caught(Refusal);

impl From<jni::errors::Error> for Caught {
    fn from(e: jni::errors::Error) -> Self {
        Caught(Error::new(Kind::Internal, format!("the Java virtual machine fails ({e})")).into())
    }
}

fn service(env: &mut JNIEnv<'_>) -> jni::errors::Result<GlobalRef> {
    env.with_local_frame(64, |env| {
        let level = env.new_string("OFF")?;
        let quiet = [JValue::Object(&level)];
        if env.call_static_method("loci/common/DebugTools", "setRootLevel", "(Ljava/lang/String;)V", &quiet).is_err() {
            env.exception_clear()?;
        }
        // Pictures are decoded from memory, not through files.
        env.call_static_method("javax/imageio/ImageIO", "setUseCache", "(Z)V", &[JValue::Bool(0)])?;
        let class = env.find_class("loci/formats/services/OMEXMLService")?;
        let factory = env.new_object("loci/common/services/ServiceFactory", "()V", &[])?;
        let signature = "(Ljava/lang/Class;)Lloci/common/services/Service;";
        let service = env.call_method(factory, "getInstance", signature, &[JValue::Object(&class)])?.l()?;
        env.new_global_ref(service)
    })
}

fn new_reader(env: &mut JNIEnv<'_>) -> jni::errors::Result<GlobalRef> {
    let reader = env.new_object("loci/formats/ImageReader", "()V", &[])?;
    env.call_method(&reader, "setFlattenedResolutions", "(Z)V", &[JValue::Bool(0)])?;
    env.call_method(&reader, "setGroupFiles", "(Z)V", &[JValue::Bool(1)])?;
    env.new_global_ref(reader)
}

fn number(env: &mut JNIEnv<'_>, of: &JObject<'_>, name: &str) -> jni::errors::Result<i32> {
    env.call_method(of, name, "()I", &[])?.i()
}

fn size(env: &mut JNIEnv<'_>, of: &JObject<'_>, name: &str) -> jni::errors::Result<u64> {
    Ok(u64::try_from(number(env, of, name)?).unwrap_or(0))
}

fn flag(env: &mut JNIEnv<'_>, of: &JObject<'_>, name: &str) -> jni::errors::Result<bool> {
    env.call_method(of, name, "()Z", &[])?.z()
}

fn text(env: &mut JNIEnv<'_>, of: &JObject<'_>, name: &str) -> jni::errors::Result<String> {
    let found = env.call_method(of, name, "()Ljava/lang/String;", &[])?.l()?;
    owned(env, found)
}

fn owned(env: &mut JNIEnv<'_>, text: JObject<'_>) -> jni::errors::Result<String> {
    if text.is_null() {
        return Ok(String::new());
    }
    let text = JString::from(text);
    Ok(env.get_string(&text)?.into())
}

fn texts(env: &mut JNIEnv<'_>, of: &JObject<'_>, name: &str) -> jni::errors::Result<Vec<String>> {
    let list = env.call_method(of, name, "()[Ljava/lang/String;", &[])?.l()?;
    if list.is_null() {
        return Ok(Vec::new());
    }
    let list = JObjectArray::from(list);
    let length = env.get_array_length(&list)?;
    let mut found = Vec::new();
    for index in 0..length {
        let one = env.with_local_frame(4, |env| {
            let text = env.get_object_array_element(&list, index)?;
            owned(env, text)
        })?;
        found.push(one);
    }
    Ok(found)
}

fn describe(env: &mut JNIEnv<'_>, reader: &JObject<'_>, store: Option<&GlobalRef>) -> jni::errors::Result<Described> {
    let count = number(env, reader, "getSeriesCount")?.min(MANY);
    let mut series = Vec::new();
    for index in 0..count {
        env.call_method(reader, "setSeries", "(I)V", &[JValue::Int(index)])?;
        series.push(env.with_local_frame(64, |env| image(env, reader))?);
    }
    let xml = match store {
        Some(store) => {
            let factory = env.new_object("loci/common/services/ServiceFactory", "()V", &[])?;
            let class = env.find_class("loci/formats/services/OMEXMLService")?;
            let signature = "(Ljava/lang/Class;)Lloci/common/services/Service;";
            let service = env.call_method(factory, "getInstance", signature, &[JValue::Object(&class)])?.l()?;
            let signature = "(Lloci/formats/meta/MetadataRetrieve;)Ljava/lang/String;";
            let xml = env.call_method(service, "getOMEXML", signature, &[JValue::Object(store.as_obj())])?.l()?;
            owned(env, xml)?
        }
        None => String::new(),
    };
    Ok(Described { format: text(env, reader, "getFormat")?, used: texts(env, reader, "getUsedFiles")?, xml, series })
}

/// The series that is set.
fn image(env: &mut JNIEnv<'_>, reader: &JObject<'_>) -> jni::errors::Result<Image> {
    let mut levels = Vec::new();
    for level in 0..number(env, reader, "getResolutionCount")?.clamp(1, 256) {
        env.call_method(reader, "setResolution", "(I)V", &[JValue::Int(level)])?;
        levels.push(Resolution {
            t: size(env, reader, "getSizeT")?,
            c: size(env, reader, "getEffectiveSizeC")?,
            z: size(env, reader, "getSizeZ")?,
            y: size(env, reader, "getSizeY")?,
            x: size(env, reader, "getSizeX")?,
            tile_y: size(env, reader, "getOptimalTileHeight")?,
            tile_x: size(env, reader, "getOptimalTileWidth")?,
        });
    }
    env.call_method(reader, "setResolution", "(I)V", &[JValue::Int(0)])?;
    let indexed = flag(env, reader, "isIndexed")? && !flag(env, reader, "isFalseColor")?;
    Ok(Image {
        levels,
        samples: size(env, reader, "getRGBChannelCount")?,
        interleaved: flag(env, reader, "isInterleaved")?,
        little: flag(env, reader, "isLittleEndian")?,
        kind: number(env, reader, "getPixelType")?,
        bits: u32::try_from(number(env, reader, "getBitsPerPixel")?).unwrap_or(0),
        thumbnail: flag(env, reader, "isThumbnailSeries")?,
        palette: if indexed { palette(env, reader)? } else { None },
    })
}

/// The colour table; none if the reader has it only after a plane was read.
fn palette(env: &mut JNIEnv<'_>, reader: &JObject<'_>) -> jni::errors::Result<Option<[Vec<u16>; 3]>> {
    let wide = env.call_method(reader, "get16BitLookupTable", "()[[S", &[])?.l()?;
    let table = if wide.is_null() { env.call_method(reader, "get8BitLookupTable", "()[[B", &[])?.l()? } else { wide };
    if table.is_null() {
        return Ok(None);
    }
    let is_wide = env.is_instance_of(&table, "[[S")?;
    let table = JObjectArray::from(table);
    if env.get_array_length(&table)? < 3 {
        return Ok(None);
    }
    let mut colors: [Vec<u16>; 3] = Default::default();
    for (index, color) in (0..3).zip(&mut colors) {
        let row = env.get_object_array_element(&table, index)?;
        if row.is_null() {
            return Ok(None);
        }
        *color = if is_wide {
            let row = JShortArray::from(row);
            let mut values = vec![0_i16; usize::try_from(env.get_array_length(&row)?).unwrap_or(0)];
            env.get_short_array_region(&row, 0, &mut values)?;
            values.into_iter().map(i16::cast_unsigned).collect()
        } else {
            let row = env.convert_byte_array(JByteArray::from(row))?;
            row.into_iter().map(|v| u16::from(v) * 257).collect()
        };
    }
    Ok(Some(colors))
}

fn read(env: &mut JNIEnv<'_>, reader: &JObject<'_>, part: Part) -> jni::errors::Result<Vec<u8>> {
    env.call_method(reader, "setSeries", "(I)V", &[JValue::Int(part.series)])?;
    env.call_method(reader, "setResolution", "(I)V", &[JValue::Int(part.level)])?;
    let place = [part.z, part.c, part.t].map(JValue::Int);
    let plane = env.call_method(reader, "getIndex", "(III)I", &place)?.i()?;
    let area = [plane, part.x, part.y, part.columns, part.rows].map(JValue::Int);
    let bytes = env.call_method(reader, "openBytes", "(IIIII)[B", &area)?.l()?;
    env.convert_byte_array(JByteArray::from(bytes))
}

/// What was thrown, as an error of ours.
fn told(env: &mut JNIEnv<'_>, error: &jni::errors::Error) -> Refusal {
    if !matches!(error, jni::errors::Error::JavaException) {
        return Error::new(Kind::Internal, format!("the Java virtual machine fails ({error})")).into();
    }
    let thrown = env.exception_occurred();
    let _ = env.exception_clear();
    let (class, message) = thrown.and_then(|t| words(env, &t)).unwrap_or_default();
    let _ = env.exception_clear();
    let name = class.rsplit('.').next().unwrap_or_default();
    let (kind, last) = match name {
        "OutOfMemoryError" => {
            let what = "Bio-Formats needs more memory than its helper has; raise --bioformats-memory";
            return Refusal { error: Error::over_limit(what), last: true };
        }
        "StackOverflowError" | "InternalError" => (Kind::Malformed, true),
        "EOFException" => (Kind::Truncated, false),
        "FileNotFoundException" | "NoSuchFileException" | "AccessDeniedException" => (Kind::Missing, false),
        "UnknownFormatException"
        | "UnsupportedCompressionException"
        | "MissingLibraryException"
        | "UnsupportedOperationException" => (Kind::Unsupported, false),
        _ if name.ends_with("Error") => (Kind::Unsupported, false),
        "IOException" | "UncheckedIOException" | "ClosedChannelException" => (Kind::Io, false),
        _ => (Kind::Malformed, false),
    };
    Refusal { error: Error::new(kind, format!("Bio-Formats: {name}: {message:.1000}")), last }
}

fn words(env: &mut JNIEnv<'_>, thrown: &JThrowable<'_>) -> jni::errors::Result<(String, String)> {
    let class = env.call_method(thrown, "getClass", "()Ljava/lang/Class;", &[])?.l()?;
    let name = text(env, &class, "getName")?;
    let message = text(env, thrown, "getMessage").unwrap_or_default();
    Ok((name, message))
}
