//! Reads of shard files: from the chunks under the range asked for, and from an index that is arithmetic.

use std::ops::Range;

use super::Core;
use super::images::Parsed;
use super::node::ImageNode;
use crate::exec::{ChunkDone, Reader};
use crate::sync::Arc;
use crate::zarr::Shard;

impl Core {
    /// Bytes `range` of a shard file, which lie in the file.
    pub(super) fn read_shard(
        self: &Arc<Self>,
        image: &Arc<ImageNode>,
        parsed: &Arc<Parsed>,
        shard: Shard,
        range: Range<u64>,
        reader: Reader,
        done: ChunkDone,
    ) {
        // A read of the kernel: 1 MiB at most.
        let len = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let mut pieces = shard.pieces(range.clone()).peekable();
        match pieces.peek() {
            None => {
                let mut out = vec![0; len];
                shard.fill_index(&range, &mut out);
                done(Ok(&out));
            }
            Some(piece) if piece.range.end - piece.range.start == range.end - range.start => {
                self.engine.read_chunk(&image.lane(), &parsed.image, piece.chunk, piece.range.clone(), reader, done);
            }
            Some(_) => {
                let (core, node, parsed) = (Arc::clone(self), Arc::clone(image), Arc::clone(parsed));
                let places = pieces.map(|piece| {
                    let at = usize::try_from(piece.at).unwrap_or(usize::MAX);
                    let len = usize::try_from(piece.range.end - piece.range.start).unwrap_or(usize::MAX);
                    (at..at.saturating_add(len), piece)
                });
                self.engine.read_together(
                    &image.lane(),
                    reader,
                    len,
                    move |out| shard.fill_index(&range, out),
                    places,
                    move |piece, done| {
                        core.engine.read_chunk(&node.lane(), &parsed.image, piece.chunk, piece.range, reader, done);
                    },
                    done,
                );
            }
        }
    }
}
