"""The door to Bio-Formats: formats without a native reader, written by others than Bio-Formats, and helpers that die or hang."""
import errno
import io
import json
import os
import signal
import struct
import subprocess
import threading
import time
import zipfile

import numpy as np
import pytest
import zarr
from PIL import Image
from support import bioformats, mounts



@pytest.fixture(scope="module")
def jar():
    return bioformats.jar()


def noise(shape, dtype, seed=0):
    info = np.iinfo(dtype)
    return np.random.default_rng(seed).integers(info.min, info.max, shape, dtype, endpoint=True)


def pgm(path, pixels):
    """Portable Any Map of 8 bits. (Of 16 bits, 7.3.1 takes the low byte for the first one, against the format.)"""
    with open(path, "wb") as f:
        f.write(f"{'P6' if pixels.ndim == 3 else 'P5'}\n{pixels.shape[1]} {pixels.shape[0]}\n255\n".encode())
        f.write(pixels.astype("u1").tobytes())


def fits(path, pixels):
    """Flexible Image Transport System: cards of 80 bytes, blocks of 2880, high byte first."""
    axes = {f"NAXIS{n}": size for n, size in enumerate(reversed(pixels.shape), 1)}
    head = {"SIMPLE": "T", "BITPIX": {"i2": 16, "i4": 32, "f4": -32}[pixels.dtype.str[1:]], "NAXIS": pixels.ndim, **axes}
    cards = "".join(f"{k:8}= {v:>20}".ljust(80) for k, v in head.items()) + "END".ljust(80)
    with open(path, "wb") as f:
        f.write(cards.ljust(-(-len(cards) // 2880) * 2880).encode())
        data = pixels.astype(pixels.dtype.newbyteorder(">")).tobytes()
        f.write(data.ljust(-(-len(data) // 2880) * 2880, b"\0"))


def ics(path, pixels):
    """Image Cytometry Standard 1.0: a header and, beside it, the samples; t, c, z, y, x."""
    bits = 8 * pixels.dtype.itemsize
    t, c, z, y, x = pixels.shape
    lines = ["\t", "ics_version\t1.0", f"filename\t{path.stem}", "layout\tparameters\t6",
             "layout\torder\tbits\tx\ty\tz\tch\tt", f"layout\tsizes\t{bits}\t{x}\t{y}\t{z}\t{c}\t{t}", "layout\tcoordinates\tvideo",
             f"layout\tsignificant_bits\t{bits}", "representation\tbyte_order\t" + "\t".join(str(n + 1) for n in range(bits // 8)),
             "representation\tformat\tinteger", "representation\tsign\tunsigned", "representation\tcompression\tuncompressed",
             "parameter\tscale\t1\t0.25\t0.5\t2\t1\t1",
             "parameter\tunits\tbits\tmicrometers\tmicrometers\tmicrometers\tchannels\tseconds", "end"]
    path.write_text("\n".join(lines) + "\n")
    path.with_suffix(".ids").write_bytes(np.ascontiguousarray(pixels).tobytes())


def image(root):
    group = zarr.open_group(root, mode="r")
    return group["0"], group.attrs["ome"]


def test_formats_without_a_native_reader_are_images(tmp_path, mount, jar):
    """PNG, BMP, PGM, PPM, FITS, GIF and ICS, each with what its writer was given."""
    color, gray, wide = noise((150, 210, 3), "u1", 1), noise((90, 130), "u1", 2), noise((120, 100), "u2", 3)
    Image.fromarray(color).save(tmp_path / "color.png")
    Image.fromarray(wide).save(tmp_path / "wide.png")
    Image.fromarray(color).save(tmp_path / "color.bmp")
    pgm(tmp_path / "gray.pgm", gray)
    pgm(tmp_path / "color.ppm", color)
    cube = noise((3, 40, 50), "i2", 4)
    fits(tmp_path / "cube.fits", cube)
    stack = noise((2, 3, 4, 30, 50), "u2", 5)
    ics(tmp_path / "stack.ics", stack)
    (tmp_path / "notes.txt").write_text("no image")
    before = sorted(os.listdir(tmp_path))
    m = mount(tmp_path, "--bioformats", jar)
    planes = color.transpose(2, 0, 1)[None, :, None]
    expected = {"color.png": planes, "color.bmp": planes, "color.ppm": planes, "wide.png": wide[None, None, None],
                "gray.pgm": gray[None, None, None], "stack.ics": stack}
    for name, pixels in expected.items():
        array, ome = image(m.join(name + ".ome.zarr"))
        assert array.dtype == pixels.dtype and array.shape == pixels.shape, name
        assert np.array_equal(array[...], pixels), name
        assert os.getxattr(m.join(name + ".ome.zarr"), "user.fuzarr.format") == b"bioformats"
        if pixels is planes:
            assert [c["label"] for c in ome["omero"]["channels"]] == ["R", "G", "B"]
    array, _ = image(m.join("cube.fits.ome.zarr"))
    assert array.dtype == "int16" and np.array_equal(array[...].reshape(3, 40, 50), cube)
    # Values and their units come from the metadata of the file, by way of OME-XML.
    array, ome = image(m.join("stack.ics.ome.zarr"))
    scale = ome["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]["scale"]
    assert scale[2:] == pytest.approx([2, 0.5, 0.25])
    # The file of samples is a member: another way to the same dataset.
    same, _ = image(m.join("stack.ids.ome.zarr"))
    assert np.array_equal(same[...], stack)
    with open(m.join("stack.ics.ome.zarr", "OME", "source.ome.xml"), "rb") as f:
        assert b"<OME" in f.read()
    assert open(m.join("notes.txt")).read() == "no image"
    assert "color.png" not in os.listdir(m.path)
    # Nothing is written beside the data.
    assert sorted(os.listdir(tmp_path)) == before


def test_palettes_time_series_and_pictures_through_lossy_compression(tmp_path, mount, jar):
    """GIF: indices as stored, every frame; JPEG: what another decoder makes of it, but for rounding."""
    frames = [Image.fromarray(np.add.outer(np.arange(60), np.arange(80) * (n + 1)).astype("u1"), "L").convert("P") for n in range(3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=100)
    y, x = np.mgrid[:200, :300]
    smooth = np.stack([y, x // 2, 255 - y], -1).astype("u1")
    Image.fromarray(smooth).save(tmp_path / "b.jpg", quality=95, subsampling=0)
    m = mount(tmp_path, "--bioformats", jar)
    array, _ = image(m.join("a.ome.zarr"))
    assert array.shape[-2:] == (60, 80) and array.shape[0] * array.shape[1] * array.shape[2] >= 3
    array, _ = image(m.join("b.ome.zarr"))
    with Image.open(tmp_path / "b.jpg") as f:
        other = np.asarray(f).transpose(2, 0, 1)
    assert np.abs(array[0, :, 0].astype(int) - other).max() <= 4


def test_without_the_option_such_files_stay_what_they_are(tmp_path, mount):
    Image.fromarray(noise((20, 30), "u1")).save(tmp_path / "a.png")
    m = mount(tmp_path)
    assert os.listdir(m.path) == ["a.png"]
    assert open(m.join("a.png"), "rb").read() == (tmp_path / "a.png").read_bytes()
    assert bioformats.helpers(m.pid) == []


def test_what_natively_read_files_show_is_the_same(tmp_path, mount, jar):
    """A native reader goes first, by name."""
    Image.fromarray(noise((50, 60), "u2")).save(tmp_path / "a.tif")
    plain, door = mount(tmp_path), mount(tmp_path, "--bioformats", jar)
    for m in (plain, door):
        assert os.getxattr(m.join("a.ome.zarr"), "user.fuzarr.format") != b"bioformats"
    read = lambda m, *p: open(m.join("a.ome.zarr", *p), "rb").read()  # noqa: E731
    assert read(plain, "zarr.json") == read(door, "zarr.json")


def old_jpeg(path, pixels):
    """A TIFF of compression 6, which no native reader here supports: a whole JPEG stream in one strip."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=95, subsampling=0)
    stream = out.getvalue() + b"\0" * (len(out.getvalue()) % 2)
    height, width = pixels.shape[:2]
    tags = [(256, 3, 1, width), (257, 3, 1, height), (258, 3, 3, None), (259, 3, 1, 6), (262, 3, 1, 6), (273, 4, 1, 8), (277, 3, 1, 3),
            (278, 3, 1, height), (279, 4, 1, len(stream)), (513, 4, 1, 8), (514, 4, 1, len(stream)), (530, 3, 2, 0x10001)]
    after = 8 + len(stream) + 2 + 12 * len(tags) + 4
    entries = b"".join(struct.pack("<HHII", tag, kind, n, after if value is None else value) for tag, kind, n, value in tags)
    path.write_bytes(b"II*\0" + struct.pack("<I", 8 + len(stream)) + stream + struct.pack("<H", len(tags)) + entries
                     + struct.pack("<I3H", 0, 8, 8, 8))


def test_what_is_refused_or_damaged_under_a_native_name_stays_an_error(tmp_path, mount, jar):
    """Bio-Formats opens the first, and shows it in wrong colours."""
    y, x = np.mgrid[:64, :96]
    old_jpeg(tmp_path / "old.tif", np.stack([y * 3, x * 2, 255 - y], -1).astype("u1"))
    with zipfile.ZipFile(tmp_path / "zip.tif", "w") as f:
        f.writestr("a.png", "no picture")
    (tmp_path / "text.czi").write_text("no image")
    (tmp_path / "cut.tif").write_bytes((tmp_path / "old.tif").read_bytes()[:200])
    m = mount(tmp_path, "--bioformats", jar)
    for name in ["old", "zip", "text", "cut"]:
        with pytest.raises(OSError) as e:
            os.listdir(m.join(name + ".ome.zarr"))
        assert e.value.errno == errno.EIO, name


def test_damaged_files_are_errors(tmp_path, mount, jar):
    """Cut off: EIO, a reason, and nothing that hangs. What Bio-Formats makes of a file whose
    samples end early is its own affair."""
    Image.fromarray(noise((60, 70, 3), "u1")).save(tmp_path / "whole.png")
    data = (tmp_path / "whole.png").read_bytes()
    for end in (0, 1, 7, 20, 30):
        (tmp_path / f"cut{end}.png").write_bytes(data[:end])
    m = mount(tmp_path, "--bioformats", jar)
    for name in ["cut0", "cut1", "cut7", "cut20", "cut30"]:
        with pytest.raises(OSError) as e:
            os.listdir(m.join(name + ".ome.zarr"))
        assert e.value.errno == errno.EIO, name
        reason = os.getxattr(m.join(name + ".ome.zarr"), "user.fuzarr.error").decode()
        assert reason and str(tmp_path) not in reason, reason
    assert image(m.join("whole.ome.zarr"))[0].shape == (1, 3, 1, 60, 70)


def test_a_link_or_another_folder_is_not_read(tmp_path, mount, jar):
    """Samples that lie outside of the folder are refused, and a helper may not read outside of SOURCE at all."""
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    ics(outside / "a.ics", noise((1, 1, 1, 20, 30), "u1"))
    (inside / "a.ics").write_bytes((outside / "a.ics").read_bytes())
    (inside / "a.ids").symlink_to(outside / "a.ids")
    m = mount(inside, "--bioformats", jar)
    with pytest.raises(OSError) as e:
        os.listdir(m.join("a.ome.zarr"))
    assert e.value.errno == errno.EIO


PLANES = 24


def big(folder):
    """Planes of 4 MiB; of these, only the one in the middle is looked at for contrast."""
    pixels = noise((PLANES, 1, 1, 2048, 2048), "u1", 7)
    ics(folder / "big.ics", pixels)
    return pixels[:, 0, 0]


def chunk(m, plane, row=0, column=0):
    with open(m.join("big.ics.ome.zarr", "0", "c", str(plane), "0", "0", str(row), str(column)), "rb") as f:
        return np.frombuffer(f.read(), "u1").reshape(512, 512)


def direct(m, plane, column=0):
    """A chunk as one request: reads through the page cache are tried again by the kernel when they fail."""
    fd = os.open(m.join("big.ics.ome.zarr", "0", "c", str(plane), "0", "0", "0", str(column)), os.O_RDONLY | os.O_DIRECT)
    try:
        return np.frombuffer(b"".join(os.pread(fd, 1 << 16, at) for at in range(0, 1 << 18, 1 << 16)), "u1").reshape(512, 512)
    finally:
        os.close(fd)


def part(pixels, plane, row=0, column=0):
    return pixels[plane, 512 * row : 512 * row + 512, 512 * column : 512 * column + 512]


@pytest.mark.seconds(600)
def test_a_helper_killed_in_mid_read_costs_that_read(tmp_path, mount, jar):
    """Twenty times: a read waits for a helper, the helper is killed; the read is EIO, and the next one is right."""
    pixels = big(tmp_path)
    m = mount(tmp_path, "--bioformats", jar, "--bioformats-helpers", "1", "--cache-size", "256MiB")
    assert image(m.join("big.ics.ome.zarr"))[0].shape == (PLANES, 1, 1, 2048, 2048)
    rng = np.random.default_rng(0)
    planes = [p for p in range(PLANES) if abs(p - PLANES // 2) > 1][:20]
    for plane in planes:
        # Never one place in planes that follow each other: that would be decoded ahead, before the helper is stopped.
        column = plane % 4
        [helper] = bioformats.helpers(m.pid)
        # Stopped first, so that the read is under way for sure when it is killed.
        os.kill(helper, signal.SIGSTOP)
        seen = []

        def read():
            try:
                seen.append(direct(m, plane, column))  # noqa: B023
            except OSError as e:
                seen.append(e.errno)  # noqa: B023

        reader = threading.Thread(target=read)
        reader.start()
        time.sleep(0.1 + 0.2 * rng.random())
        assert not seen, plane
        os.kill(helper, signal.SIGKILL)
        reader.join(60)
        assert not reader.is_alive() and len(seen) == 1, plane
        assert isinstance(seen[0], int) and seen[0] == errno.EIO, (plane, seen)
        assert np.array_equal(chunk(m, plane, 0, column), part(pixels, plane, 0, column)), plane
    assert len(planes) == 20 and m.alive()


@pytest.mark.seconds(600)
def test_helpers_killed_at_any_moment_never_give_a_wrong_byte(tmp_path, mount, jar):
    """Three readers, two helpers, and somebody who kills one every now and then."""
    pixels = big(tmp_path)
    m = mount(tmp_path, "--bioformats", jar, "--cache-size", "64MiB")
    image(m.join("big.ics.ome.zarr"))
    wrong, failed, right, killed, stop = [], [], [], [], threading.Event()

    def kill():
        while not stop.wait(0.7):
            for helper in bioformats.helpers(m.pid)[:1]:
                os.kill(helper, signal.SIGKILL)
                killed.append(helper)

    def read(seed):
        rng = np.random.default_rng(seed)
        until = time.monotonic() + 15
        while time.monotonic() < until:
            at = int(rng.integers(PLANES)), int(rng.integers(4)), int(rng.integers(4))
            try:
                got = chunk(m, *at)
            except OSError as e:
                failed.append(e.errno)
                continue
            (right if np.array_equal(got, part(pixels, *at)) else wrong).append(at)

    threads = [threading.Thread(target=read, args=(s,)) for s in range(3)]
    killer = threading.Thread(target=kill)
    for t in [killer, *threads]:
        t.start()
    for t in threads:
        t.join(120)
        assert not t.is_alive()
    stop.set()
    killer.join()
    assert not wrong and right and killed and set(failed) <= {errno.EIO}, (wrong, len(right), set(failed))
    time.sleep(1)
    assert np.array_equal(chunk(m, 3, 3, 3), part(pixels, 3, 3, 3))


def test_a_helper_that_runs_out_of_memory_is_replaced(tmp_path, mount, jar):
    """A picture that is decoded whole, and larger than the heap: an error that says what would do. Others are as before."""
    Image.fromarray(np.zeros((9000, 9000, 3), "u1")).save(tmp_path / "large.png")
    small = noise((60, 70), "u1")
    Image.fromarray(small).save(tmp_path / "small.png")
    m = mount(tmp_path, "--bioformats", jar, "--bioformats-memory", "64MiB", "--bioformats-helpers", "1")
    assert np.array_equal(image(m.join("small.ome.zarr"))[0][...], small[None, None, None])
    [before] = bioformats.helpers(m.pid)
    with pytest.raises(OSError) as e:
        with open(m.join("large.ome.zarr", "0", "c", "0", "0", "0", "3", "3"), "rb") as f:
            f.read()
    assert e.value.errno == errno.EIO and "--bioformats-memory" in m.log()
    (tmp_path / "later.bmp").write_bytes(b"")
    Image.fromarray(small).save(tmp_path / "later.bmp")
    time.sleep(1.2)
    assert np.array_equal(image(m.join("later.ome.zarr"))[0][0, 0, 0], small)
    assert bioformats.helpers(m.pid) != [before]


@pytest.mark.seconds(300)
def test_a_helper_that_hangs_is_replaced_within_the_deadline(tmp_path, mount, jar):
    pixels = big(tmp_path)
    Image.fromarray(pixels[0, :90, :70]).save(tmp_path / "small.png")
    m = mount(tmp_path, "--bioformats", jar, "--bioformats-helpers", "1", "--deadline", "8s")
    image(m.join("big.ics.ome.zarr"))
    for look in (lambda: direct(m, 5), lambda: os.listdir(m.join("small.ome.zarr"))):
        [helper] = bioformats.helpers(m.pid)
        os.kill(helper, signal.SIGSTOP)
        begin = time.monotonic()
        with pytest.raises(OSError) as e:
            look()
        assert e.value.errno == errno.EIO and time.monotonic() - begin < 12
        until = time.monotonic() + 10
        while helper in bioformats.helpers(m.pid) and time.monotonic() < until:
            time.sleep(0.05)
        assert helper not in bioformats.helpers(m.pid)
        assert np.array_equal(direct(m, 5), part(pixels, 5))
    assert m.status()["fs"] is not None


def test_helpers_hold_nothing_and_end_with_the_daemon(tmp_path, mount, jar):
    """No FUSE device, no descriptor but the socket and what Java opened; gone when the daemon is killed."""
    Image.fromarray(noise((50, 60), "u1")).save(tmp_path / "a.png")
    m = mount(tmp_path, "--bioformats", jar)
    image(m.join("a.ome.zarr"))
    [helper] = bioformats.helpers(m.pid)
    held = {os.readlink(f"/proc/{helper}/fd/{fd}") for fd in os.listdir(f"/proc/{helper}/fd")}
    assert "/dev/fuse" not in held and not any(name.startswith(m.join("")) for name in held), held
    with open(f"/proc/{helper}/status", encoding="ascii") as f:
        assert "NoNewPrivs:\t1" in f.read()
    m.kill()
    until = time.monotonic() + 10
    while os.path.exists(f"/proc/{helper}") and time.monotonic() < until:
        time.sleep(0.05)
    assert not os.path.exists(f"/proc/{helper}")


def run(*command):
    return subprocess.run([mounts.binary(), *map(str, command)], capture_output=True, text=True, timeout=120)


def test_other_commands_use_the_same_door(tmp_path, jar):
    pixels = noise((50, 60, 3), "u1")
    Image.fromarray(pixels).save(tmp_path / "a.png")
    said = run("inspect", "--json", "--verify", "--bioformats", jar, tmp_path / "a.png")
    assert said.returncode == 0, said.stderr
    said = json.loads(said.stdout)
    assert said["format"] == "bioformats" and said["series"][0]["shape"] == [1, 3, 1, 50, 60] and said["damaged"]["damaged"] == 0
    said = run("metadata", "--json", "--bioformats", jar, tmp_path / "a.png")
    assert said.returncode == 0 and json.loads(said.stdout), said.stderr
    said = run("catalog", "-q", "--format", "jsonl", "--bioformats", jar, tmp_path)
    assert said.returncode == 0 and len(said.stdout.splitlines()) == 1, said.stderr
    assert run("inspect", tmp_path / "a.png").returncode == 3


def test_a_door_that_does_not_open_is_said_at_once(tmp_path, jar):
    (tmp_path / "s").mkdir()
    (tmp_path / "m").mkdir()
    (tmp_path / "empty.jar").write_bytes(b"")
    for options, word in [(("--bioformats", tmp_path / "none.jar"), "none.jar"),
                          (("--bioformats", tmp_path / "empty.jar"), "no Bio-Formats in"),
                          (("--bioformats", jar, "--java-home", tmp_path), "libjvm.so"),
                          (("--bioformats", jar, "--bioformats-helpers", "0"), "from 1 to 64")]:
        said = run("mount", *options, tmp_path / "s", tmp_path / "m")
        assert said.returncode != 0 and word in said.stderr, said.stderr
        assert not os.path.ismount(tmp_path / "m")


def test_the_configuration_file_knows_it(tmp_path, mount, jar):
    (tmp_path / "s").mkdir()
    Image.fromarray(noise((20, 30), "u1")).save(tmp_path / "s" / "a.png")
    (tmp_path / "fuzarr.toml").write_text(f'bioformats = "{jar}"\nbioformats-helpers = 1\nbioformats-memory = "512MiB"\n')
    m = mount(tmp_path / "s", "--config", tmp_path / "fuzarr.toml")
    assert os.listdir(m.path) == ["a.ome.zarr"]
    assert image(m.join("a.ome.zarr"))[0].shape == (1, 1, 1, 20, 30)


@pytest.mark.parametrize("level", ["standard", "strict"])
def test_what_tells_of_people_is_left_out(tmp_path, mount, jar, level):
    """What Bio-Formats takes out of a file is treated like what a native reader does."""
    source = tmp_path / "s"
    source.mkdir()
    key = tmp_path / "key"
    key.write_bytes(b"k" * 32)
    key.chmod(0o600)
    ics(source / "zqx7name.ics", noise((1, 1, 1, 30, 40), "u1"))
    planted = {"author": "zqx7person", "creation date": "12:00:00 01/02/2003", "type": "zqx7note", "software": "zqx7soft",
               "filename": "/home/zqx7user/private", "email": "zqx7@mail.example", "microscope": "zqx7-SN4711", "experimenter": "zqx7two"}
    path = source / "zqx7name.ics"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:-1], *(f"history\t{k}\t{v}" for k, v in planted.items()), "end"]) + "\n")
    open_ = mount(source, "--bioformats", jar)
    shown = b"".join(everything(open_))
    assert b"zqx7person" in shown or b"zqx7two" in shown, "nothing of what was planted is shown anywhere: a test of nothing"
    m = mount(source, "--bioformats", jar, "--deidentify", level, "--deidentify-key", key)
    shown = b"".join(everything(m)) + m.log().encode()
    for word in [b"person", b"user", b"@mail", b"two", *([b"SN4711", b"note", b"name", b"soft"] if level == "strict" else [])]:
        assert b"zqx7" + word not in shown, word
    assert str(source).encode() not in shown


def everything(m):
    """Names, attributes and contents of all there is, but for chunks."""
    for folder, folders, files in os.walk(m.path):
        for name in [*folders, *files]:
            path = os.path.join(folder, name)
            yield path[len(m.path) :].encode()
            for attribute in os.listxattr(path):
                yield os.getxattr(path, attribute)
        if f"{os.sep}c{os.sep}" not in folder + os.sep:
            for name in files:
                with open(os.path.join(folder, name), "rb") as f:
                    yield f.read()
