"""From the bytes of a DICOM, PNG or JPEG file to the grey values a reader sees, or to a coded refusal.

`imaging.dicom.pixels.decode` is the one entry; training and serving both go through it.
"""
