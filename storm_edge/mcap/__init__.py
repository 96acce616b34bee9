"""Frames with what was reported of them, in MCAP files with ROS 2 schemas: packed small, written whole, read back.

Needs the packages of the extra ``robot``; they are imported when a file is written or read, and not before.
"""
