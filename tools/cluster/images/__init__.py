"""The images: what they are made of, how they are built, what they are called.

A name's tag is the hash of everything that goes in, so that an image with the right name is the
right image: it is neither built nor loaded again.
"""
