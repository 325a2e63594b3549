"""Reads egret's messages with other people's code: cbor2, protobuf (by protoc and docs/mqtt/egret.proto), jsonschema, PyYAML.

    messages.py decode DOCS DIR          DIR/N.cbor and DIR/N.pb become JSON lines in the form of the JSON messages
    messages.py validate DOCS            JSON lines {"kind": …, "payload": …} on standard input against DOCS/schemas
    messages.py document DOCS            asyncapi.yaml: its references lead somewhere, and its schemas are schemas
"""
import datetime
import json
import pathlib
import struct
import sys
import tempfile
import uuid

try:
    import cbor2
    import jsonschema
    import yaml
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    from grpc_tools import protoc
except ImportError as missing:
    print(missing, file=sys.stderr)
    sys.exit(77)


def frame_class(docs):
    with tempfile.TemporaryDirectory() as folder:
        out = f"{folder}/egret.pb"
        if protoc.main(["protoc", f"-I{docs}", f"--descriptor_set_out={out}", f"{docs}/egret.proto"]) != 0:
            sys.exit("protoc does not take egret.proto")
        files = descriptor_pb2.FileDescriptorSet.FromString(pathlib.Path(out).read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("egret.v1.Frame"))


def stamp(us):
    at = datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=us)
    return at.isoformat(timespec="microseconds") + "Z"


def objects(size, classes, of, confidence, tracks, boxes):
    for i, kind in enumerate(of):
        parts = [part / 65535 for part in struct.unpack_from("<4H", boxes, 8 * i)]
        yield {
            "class": classes[kind],
            "confidence": confidence[i] / 10000,
            "box": [part * side for part, side in zip(parts, [*size, *size])],
            "box_norm": parts,
            "track": f"{tracks[i]:016x}" if tracks[i] else None,
        }


def message(f, seen, details, about):
    """The fields of the JSON form; f has them by their number."""
    ms = lambda us: None if us is None else us / 1000
    report = f[16] == 1
    model = {"name": f[13][1], "runtime": f[13][2]}
    if f[13].get(3):
        model["precision"] = f[13][3]
    if f[13].get(4):
        model["digest"] = f[13][4].hex()
    for i, more in details:
        seen[i].update(more)
    said = {
        "schema": f"egret/v{f[1]}", "kind": "frame", "device": f[2], "camera": f[3], "boot_id": str(uuid.UUID(bytes=f[4])),
        "seq": f[5], "frame": f[6], "pts_ms": f[7] / 1000, "captured_at": stamp(f[8]),
        "basis": "sender_report" if report else "arrival", "uncertainty_ms": ms(f.get(15)), "published_at": stamp(f[8] + f[9]),
        "latency_ms": None if f.get(10) is None else ms(f[9] if report else f[10]), "since_arrival_ms": ms(f.get(10)),
        "size": [f[11], f[12]], "model": model, "objects": seen, **about,
    }
    if f.get(23):
        said["closing"] = True
    return said


def from_cbor(data):
    f = cbor2.loads(data)
    n = len(f[17])
    confidence, tracks = struct.unpack(f"<{n}H", f[18]), struct.unpack(f"<{n}Q", f[19])
    seen = list(objects((f[11], f[12]), f[14], f[17], confidence, tracks, f[20]))
    return message(f, seen, f.get(21, []), f.get(22, {}))


def from_protobuf(data, Frame):
    p = Frame.FromString(data)
    named = {field.number: field for field in Frame.DESCRIPTOR.fields}
    f = {n: getattr(p, field.name) for n, field in named.items() if not field.has_presence or p.HasField(field.name)}
    f[13] = {1: p.model.name, 2: p.model.runtime, 3: p.model.precision, 4: p.model.digest}
    seen = list(objects((p.width, p.height), p.classes, getattr(p, "class"), p.confidence, p.track, p.boxes))
    return message(f, seen, [(d.object, json.loads(d.json)) for d in p.details], json.loads(p.about or "{}"))


def decode(docs, folder):
    Frame = frame_class(docs)
    for path in sorted(pathlib.Path(folder).iterdir()):
        read = from_cbor if path.suffix == ".cbor" else lambda data: from_protobuf(data, Frame)
        print(json.dumps({"name": path.name, "payload": read(path.read_bytes())}))


def validate(docs):
    validators = {}
    for path in pathlib.Path(docs, "schemas").iterdir():
        schema = json.loads(path.read_text())
        jsonschema.Draft202012Validator.check_schema(schema)
        validators[path.stem] = jsonschema.Draft202012Validator(schema)
    count = 0
    for line in sys.stdin:
        said = json.loads(line)
        for error in validators[said["kind"]].iter_errors(said["payload"]):
            sys.exit(f"{said['kind']}: {list(error.path)}: {error.message}")
        # What may not pass: the schema is no mere decoration.
        for key in list(said["payload"]):
            spoilt = dict(said["payload"], **{key: {"spoilt": []}})
            if validators[said["kind"]].is_valid(spoilt) and not isinstance(said["payload"][key], dict):
                sys.exit(f"{said['kind']}: {key} may be anything")
        count += 1
    print(count)


def document(docs):
    whole = yaml.safe_load(pathlib.Path(docs, "asyncapi.yaml").read_text())

    def follow(node):
        if isinstance(node, dict):
            ref = node.get("$ref")
            if ref and ref.startswith("#/"):
                at = whole
                for part in ref[2:].split("/"):
                    at = at[part]
            elif ref:
                jsonschema.Draft202012Validator.check_schema(json.loads(pathlib.Path(docs, ref).read_text()))
            for value in node.values():
                follow(value)

    follow(whole)
    print(json.dumps(whole))


{"decode": decode, "validate": validate, "document": document}[sys.argv[1]](*sys.argv[2:])
