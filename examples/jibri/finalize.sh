#!/bin/bash
# Called with the folder of a finished recording.
set -euo pipefail
cd "$1"
sha256sum -- *.mp4 > SHA256SUMS
