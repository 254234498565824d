"""Decode samples as they come with an exported model: numpy, scipy and onnxruntime are all it needs.

    python consumer.py SAMPLES.npy MEL.npy

``SAMPLES.npy`` is (sample, channel), channels, rate and unit as ``settings.json`` names them; ``MEL.npy`` is
(frame, band) [nats], whose first frame is number ``first_frame`` of the stream.
"""

import sys
from pathlib import Path

import numpy as np
from decoder import Decoder

try:
    decoder = Decoder(Path(__file__).parent)
except ValueError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)

samples = np.load(sys.argv[1])
mel = []
for chunk in np.array_split(samples, len(samples) // 50 + 1):  # in your program: what the amplifier gives
    mel.append(decoder.push(chunk))  # (frame, band) of the steps that are whole, often none
# decoder.reset() would begin another trial
np.save(sys.argv[2], np.concatenate(mel))
