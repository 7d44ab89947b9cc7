"""One of many parallel readers: reads files of a list in its own order and compares them with their hashes.

  hammer.py ROOT LIST.json SEED SECONDS

Prints one line for each wrong byte or error, and last how many files it read.
"""
import hashlib
import json
import os
import random
import sys
import time


def main():
    root, listing, seed, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
    with open(listing, encoding="utf-8") as f:
        wanted = list(json.load(f).items())
    random.Random(seed).shuffle(wanted)
    until, read = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        for path, want in wanted:
            try:
                with open(os.path.join(root, path), "rb") as f:
                    if hashlib.sha256(f.read()).hexdigest() != want:
                        print("WRONG", path)
            except OSError as e:
                print("ERROR", path, e)
            read += 1
            # A quarter each: 32 readers then met every file some eight times, on a slow machine too.
            if time.monotonic() > until and read >= len(wanted) / 4:
                break
    print(read, "read")


if __name__ == "__main__":
    main()
