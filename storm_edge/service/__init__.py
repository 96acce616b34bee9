"""The robot service, `storm-edge run PROFILE`: frames of a source in, reports of all objects out, for weeks.

`run.Service` is the loop, around `live.Session` and on nothing else; `build` makes one of a profile.
"""
