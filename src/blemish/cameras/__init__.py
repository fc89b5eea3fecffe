"""Cameras: pictures as they are taken, of a camera, a stream, a video, a folder or a program."""
