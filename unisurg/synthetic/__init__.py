"""The embedded theatre: procedural surgical video with exact labels.

    operation = Operation("laparoscopy-a", seed=0, seconds=90)     # operation.py: no pixels yet
    states = operation.at(np.arange(0, 90_000, 40))                # exact state, milliseconds in
    renderer = Renderer(operation, height=256, width=256)          # render.py
    picture = renderer.rgb(states[5])                              # (H, W, 3) uint8
    frame = renderer.frame(states[5], states[4])                   # with masks, depth and motion
    layouts.write(Path("theatre"), settings.theatre, seed=0)       # corpus and benchmarks

Pixels are the same on every machine: all arithmetic is on integers (`exact.py`). Encoded bytes are
not; the repository pins those by their hash.
"""
