#!/usr/bin/env python3
"""Makes tests/golden/records with Google's protobuf: records as the TensorFlow Object Detection API
writes them, and one as Shoal must write it, byte for byte.

    pip install protobuf==7.36.2 && python3 tests/golden/make_records.py

The framing's CRC-32C is computed here bit by bit, independent of any library.
"""

import os
import struct

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "records")


def example_class():
    """tf.train.Example as TensorFlow declares it: features in a map, lists in a oneof."""
    f = descriptor_pb2.FileDescriptorProto(name="example.proto", package="golden", syntax="proto3")
    kinds = descriptor_pb2.FieldDescriptorProto
    for name, kind in (("BytesList", kinds.TYPE_BYTES), ("FloatList", kinds.TYPE_FLOAT), ("Int64List", kinds.TYPE_INT64)):
        f.message_type.add(name=name).field.add(name="value", number=1, type=kind, label=kinds.LABEL_REPEATED)
    feature = f.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for i, (name, of) in enumerate((("bytes_list", "BytesList"), ("float_list", "FloatList"), ("int64_list", "Int64List"))):
        feature.field.add(name=name, number=i + 1, type=kinds.TYPE_MESSAGE, type_name=".golden." + of, label=kinds.LABEL_OPTIONAL, oneof_index=0)
    features = f.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=kinds.TYPE_STRING, label=kinds.LABEL_OPTIONAL)
    entry.field.add(name="value", number=2, type=kinds.TYPE_MESSAGE, type_name=".golden.Feature", label=kinds.LABEL_OPTIONAL)
    features.field.add(name="feature", number=1, type=kinds.TYPE_MESSAGE, type_name=".golden.Features.FeatureEntry", label=kinds.LABEL_REPEATED)
    f.message_type.add(name="Example").field.add(name="features", number=1, type=kinds.TYPE_MESSAGE, type_name=".golden.Features", label=kinds.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(f)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("golden.Example"))


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


assert crc32c(b"123456789") == 0xE3069283


def frame(payload):
    def masked(data):
        crc = crc32c(data)
        return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)

    length = struct.pack("<Q", len(payload))
    return length + masked(length) + payload + masked(payload)


Example = example_class()


def example(values):
    e = Example()
    for key, value in values.items():
        feature = e.features.feature[key]
        if not isinstance(value, list):
            value = [value]
        if value and isinstance(value[0], float) or key.startswith("image/object/bbox") or key == "image/object/area":
            feature.float_list.value.extend(value)
            feature.float_list.SetInParent()
        elif value and isinstance(value[0], bytes) or key == "image/object/class/text":
            feature.bytes_list.value.extend(value)
            feature.bytes_list.SetInParent()
        else:
            feature.int64_list.value.extend(value)
            feature.int64_list.SetInParent()
    return frame(e.SerializeToString(deterministic=True))


def jpeg(name):
    with open(os.path.join(HERE, "jpeg", name), "rb") as f:
        return f.read()


NAMES = {1: b"person", 3: b"car", 18: b"dog"}


def theirs(source_id, name, data, h, w, boxes):
    """The keys of create_coco_tf_record.py; boxes are (x, y, w, h, area, category, is_crowd)."""
    return example({
        "image/height": h, "image/width": w,
        "image/filename": name, "image/source_id": source_id, "image/key/sha256": b"0" * 64,
        "image/encoded": data, "image/format": b"jpeg",
        "image/object/bbox/xmin": [b[0] / w for b in boxes],
        "image/object/bbox/xmax": [(b[0] + b[2]) / w for b in boxes],
        "image/object/bbox/ymin": [b[1] / h for b in boxes],
        "image/object/bbox/ymax": [(b[1] + b[3]) / h for b in boxes],
        "image/object/class/text": [NAMES[b[5]] for b in boxes],
        "image/object/class/label": [b[5] for b in boxes],
        "image/object/is_crowd": [b[6] for b in boxes],
        "image/object/area": [float(b[4]) for b in boxes],
    })


def ours():
    """What Shoal writes of an image 45 high and 61 wide with these annotations."""
    boxes = [(1.5, 2.25, 30.1, 40.0), (-3.0, 10.0, 80.0, 5.0), (7.0, 7.0, 0.0, 3.0)]
    area, ids, categories, labels, crowd = [1000.125, 400.0, 0.0], [7, 900100184613, 9], [1, 18, 3], [1, 3, 2], [0, 1, 0]
    h, w = 45, 61
    clip = lambda v: min(max(v, 0.0), 1.0)
    return example({
        "image/encoded": jpeg("rgb_420_45x61.jpg"), "image/filename": b"rgb_420_45x61.jpg", "image/format": b"jpeg",
        "image/height": h, "image/width": w, "image/source_id": b"42", "shoal/image_id": 42,
        "image/object/area": area,
        "image/object/bbox/xmin": [clip(b[0] / w) for b in boxes],
        "image/object/bbox/xmax": [clip((b[0] + b[2]) / w) for b in boxes],
        "image/object/bbox/ymin": [clip(b[1] / h) for b in boxes],
        "image/object/bbox/ymax": [clip((b[1] + b[3]) / h) for b in boxes],
        "image/object/class/label": labels, "image/object/class/text": [b"person", b"dog", b"car"],
        "image/object/is_crowd": crowd,
        "shoal/area": struct.pack("<3d", *area),
        "shoal/bbox": struct.pack("<12d", *(v for b in boxes for v in b)),
        "shoal/category_id": categories, "shoal/id": ids,
    })


def write(name, *frames):
    with open(os.path.join(OUT, name), "wb") as f:
        f.write(b"".join(frames))


os.makedirs(OUT, exist_ok=True)
small, gray = jpeg("rgb_420_2x3.jpg"), jpeg("gray_29x41.jpg")
write("theirs.record-00000-of-00002",
      theirs(b"", b"empty.jpg", gray, 29, 41, []),
      theirs(b"139", b"000000000139.jpg", gray, 29, 41, [(4.1, 8.2, 20.5, 14.5, 150.25, 18, 0), (0.0, 0.0, 41.0, 29.0, 900.0, 1, 1)]),
      theirs(b"0042", b"x.jpg", small, 2, 3, [(0.0, 0.0, 0.5, 2.0, 1.0, 3, 0)]))
write("theirs.record-00001-of-00002",
      theirs(b"785", b"000000000785.jpg", gray, 29, 41, [(1.0, 2.0, 3.0, 4.0, 12.0, 1, 0)]))
write("ours.record", ours())
with open(os.path.join(OUT, "theirs.pbtxt"), "w") as f:
    for i, name in ((1, "person"), (3, "car"), (18, "dog")):
        f.write("item {\n  name: \"/m/%d\"\n  id: %d\n  display_name: '%s'\n}\n" % (i, i, name))
