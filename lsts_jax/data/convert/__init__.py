"""Data sets in the formats that people have, converted to COCO-VID: see `__main__`, the command.

One file a format. Each has

    LOOKED_FOR      the files that show the format, for messages
    find(tree)      the annotation files of the format in a folder; none: the folder is in another format
    read(tree)      what is annotated, as `Converted`; raises `UserError` naming file and line

`tree` lists the files of the folder, `converted` is what all formats become, `sequences` pairs pictures with
frame numbers, `coco_json` writes.
"""
