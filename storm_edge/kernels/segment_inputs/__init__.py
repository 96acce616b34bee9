"""The nano segmenter's inputs, alike in training (`generator.segment_frames`) and at run time (`pipeline.segment`).

Three kinds, all channels first, float32:

- *image channels* ``(8, 120, 160)`` depend on the frame alone, so that several objects share what comes of them;
- *object channels* ``(5, 60, 80)`` are cheap and say, per pixel, how well its colour fits the object, how large the
  object would be there, and how far it stands out from the table or wall;
- *view channels* ``(16, 8, 32, 32)`` are the object from 16 sides, made once per object.

NumPy and OpenCV: at this size a kernel launch would cost more than the work. The numbers in these modules belong to
the trained network: who changes one must train it again.
"""
