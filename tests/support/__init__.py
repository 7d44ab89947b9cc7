"""What the Python tests and the scripts share: sample images, brute-force levels, mounts."""
