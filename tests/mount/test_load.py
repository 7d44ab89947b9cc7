"""Many readers at once with little cache: no error, no wrong byte, bounded memory."""
import hashlib
import json
import os
import subprocess
import sys
import threading

import pytest

from support import corpus, fixtures, mounts, readers

READERS = 32
SECONDS = 20
RESIDENT = 128 << 20


def hashes(root, below):
    out = {}
    for f in readers.files(os.path.join(root, below)):
        with open(os.path.join(root, below, f), "rb") as h:
            out[os.path.join(below, f)] = hashlib.sha256(h.read()).hexdigest()
    return out


def hammer(m, wanted, tmp_path):
    """Runs the readers while the kernel keeps forgetting what it read; gives their complaints and how much they read."""
    listing = tmp_path / "list.json"
    listing.write_text(json.dumps(wanted))
    script = os.path.join(mounts.ROOT, "tests", "support", "hammer.py")
    done = threading.Event()

    def forget():
        while not done.wait(0.3):
            mounts.drop_caches()

    forgetter = threading.Thread(target=forget)
    m.reset_peak()
    forgetter.start()
    try:
        ps = [subprocess.Popen([sys.executable, "-S", script, m.path, listing, str(i), str(SECONDS)], stdout=subprocess.PIPE, text=True)
              for i in range(READERS)]
        out = [p.communicate(timeout=400)[0].splitlines() for p in ps]
    finally:
        done.set()
        forgetter.join()
        for p in ps:
            if p.poll() is None:
                p.kill()
    complaints = [line for o in out for line in o if not line.endswith(" read")]
    return complaints, sum(int(o[-1].split()[0]) for o in out if o)


@pytest.mark.seconds(600)
def test_32_readers_over_the_samples(tmp_path, mount):
    source = tmp_path / "src"
    fixtures.write_all(source, expected=False)
    fixtures.write_large(str(source / "large.tif"), 4096)
    fixtures.write_large(str(source / "large1.tif"), 3000, "one-strip")
    calm = mount(source, "--threads", 2)
    wanted = {}
    for n in sorted(os.listdir(calm.path)):
        wanted |= hashes(calm.path, n)
    calm.close()
    m = mount(source, "--cache-size", "64MiB")
    complaints, read = hammer(m, wanted, tmp_path)
    print(f"{read} files by {READERS} readers, peak {m.resident() >> 20} MiB")
    assert complaints[:5] == []
    assert m.alive() and m.resident() < RESIDENT


@pytest.mark.skipif(not corpus.folder(), reason="the corpus is not here")
@pytest.mark.seconds(700)
def test_32_readers_over_the_corpus(tmp_path, mount):
    entries = [e["path"] for e in corpus.manifest()["files"]]
    entries = [p for p in entries if not corpus.out_of_scope(os.path.join(corpus.folder(), p))]
    calm = mount(corpus.folder(), "--threads", 2)
    wanted = {}
    for p in entries:
        wanted |= hashes(calm.path, p + ".ome.zarr")
    calm.close()
    m = mount(corpus.folder(), "--cache-size", "64MiB")
    complaints, read = hammer(m, wanted, tmp_path)
    print(f"{read} files of {len(entries)} images by {READERS} readers, peak {m.resident() >> 20} MiB")
    assert complaints[:5] == []
    assert m.alive() and m.resident() < RESIDENT
