"""Conversion of data sets in common formats to COCO-VID; `__main__` is the command.

There is one file per format, with

    LOOKED_FOR      description of the files that identify the format, for messages
    find(tree)      the annotation files of the format in a folder; none: another format
    read(tree)      the annotations as `Converted`; raises `UserError` naming file and line

`tree` lists the files of the folder, `converted` is the common result of all formats, `sequences`
pairs pictures with frame numbers, `coco_json` writes.
"""
