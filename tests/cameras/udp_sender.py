"""Sends a grey picture as a stream: ``python udp_sender.py udp://127.0.0.1:PORT SECONDS``."""

from __future__ import annotations

import sys
import time

import av
import numpy as np

address, seconds = sys.argv[1], float(sys.argv[2])
with av.open(f"{address}?pkt_size=1316", "w", format="mpegts") as container:
    stream = container.add_stream("libx264", rate=25)
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
    stream.options = {"preset": "ultrafast", "tune": "zerolatency", "g": "5"}
    picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 128, np.uint8), format="rgb24")
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for packet in stream.encode(picture):
            container.mux(packet)
        picture.pts = None
        time.sleep(0.04)
