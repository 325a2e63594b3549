#!/usr/bin/env python3
"""Reads what egret's dialects say with other people's code, as installed from PyPI.

    python3.13 -m venv venv && venv/bin/pip install homeassistant paho-mqtt protobuf grpcio-tools \\
        && venv/bin/pip install --no-deps frigate-event-handler && venv/bin/pip install "mashumaro[orjson,yaml]"
    venv/bin/python scripts/dialects.py

Home Assistant needs Python 3.13 or later. What is not installed is skipped, loudly. The messages are those of the fixtures in
daemon/src/publish, which a test compares with what egret writes.
"""

import asyncio
import json
import re
import sys
import tempfile
from pathlib import Path

PUBLISH = Path(__file__).resolve().parent.parent / "daemon/src/publish"
DIALECT = PUBLISH / "dialect"


def story(name):
    """What a dialect says: (retained, topic, payload)."""
    lines = (DIALECT / "testdata" / f"{name}.txt").read_text().splitlines()
    for line in lines:
        _, _, retained, topic, *payload = line.split(" ", 4)
        yield retained == "retained", topic, payload[0] if payload else ""


def native(topic):
    """A message of ours as it comes on such a topic."""
    if "/count/" in topic:
        name = "count"
    elif "/event/" in topic:
        name = "event"
    else:
        name = "camera_status" if "/cam/" in topic else "status"
    return (PUBLISH / "testdata" / f"{name}.json").read_text()


def check(truth, what):
    if not truth:
        sys.exit(f"FAILED: {what}")


def frigate():
    """A consumer of frigate/events: its own model of a message, read from its file, since the rest of it wants much more."""
    try:
        import importlib.metadata
        import importlib.util
        name = "frigate_event_handler"
        version = importlib.metadata.version(name)
        file = Path(importlib.util.find_spec("frigate_event_handler").submodule_search_locations[0]) / "models.py"
        spec = importlib.util.spec_from_file_location("frigate_models", file)
        models = importlib.util.module_from_spec(spec)
        sys.modules["frigate_models"] = models
        spec.loader.exec_module(models)
    except (ImportError, AttributeError) as error:
        print(f"SKIPPED: frigate-event-handler: {error}")
        return
    told = [models.EventMessage.from_json(payload) for _, topic, payload in story("frigate") if topic == "frigate/events"]
    check([message.type for message in told] == ["new"] + 5 * ["update"] + ["end"], "the types")
    check(told[1].after.current_zones == ["yard"] and told[-1].after.entered_zones == ["yard", "bench"], "the zones")
    check(told[-1].after.end_time is not None and told[0].before.false_positive, "beginning and end")
    print(f"frigate-event-handler {version}: {len(told)} messages are read by its models")


def protobuf():
    try:
        from google.protobuf import __version__
        from grpc_tools import protoc
        import grpc_tools
    except ImportError as error:
        print(f"SKIPPED: protobuf: {error}")
        return
    with tempfile.TemporaryDirectory() as out:
        include = Path(grpc_tools.__file__).parent / "_proto"
        proto = DIALECT / "deepstream"
        code = protoc.main(["", f"-I{proto}", f"-I{include}", f"--python_out={out}", "nv_frame.proto"])
        check(code == 0, "nv_frame.proto compiles")
        sys.path.insert(0, out)
        import nv_frame_pb2
        frames = 0
        for (_, _, payload), (_, _, minimal) in zip(story("deepstream_protobuf"), story("deepstream_minimal"), strict=True):
            frame = nv_frame_pb2.Frame.FromString(bytes.fromhex(payload.removeprefix("hex:")))
            size = frame.ByteSize()
            frame.DiscardUnknownFields()
            check(frame.ByteSize() == size, "no field is unknown")
            same = json.loads(minimal)
            check((frame.version, frame.id, frame.sensorId) == (same["version"], same["id"], same["sensorId"]), "the frame")
            check(frame.timestamp.ToJsonString() == same["@timestamp"].replace(".000Z", "Z"), f"the time: {frame.timestamp.ToJsonString()}")
            for one, other in zip(frame.objects, same["objects"], strict=True):
                identity, *bbox, label = other.split("|")[:6]
                check((one.id, one.type) == (identity, label), "the object")
                box = (one.bbox.leftX, one.bbox.topY, one.bbox.rightX, one.bbox.bottomY)
                check(all(abs(a - float(b)) < 0.01 for a, b in zip(box, bbox, strict=True)), "the box")
                check(0 < one.confidence <= 1, "the confidence")
            frames += 1
    print(f"protobuf: {frames} frames are read by its runtime {__version__} and say the same as the minimal form")


async def home_assistant():
    try:
        from homeassistant.const import __version__
        from homeassistant.core import HomeAssistant
        from homeassistant.components.mqtt import binary_sensor, discovery, event, sensor
        from homeassistant.helpers.template import Template
    except ImportError as error:
        print(f"SKIPPED: Home Assistant: {error}")
        return
    schemas = {"binary_sensor": binary_sensor, "event": event, "sensor": sensor}
    with tempfile.TemporaryDirectory() as directory:
        hass = HomeAssistant(directory)
        messages = entities = removals = 0
        for retained, topic, payload in story("homeassistant"):
            check(retained, "discovery is retained")
            match = discovery.TOPIC_MATCHER.match(topic.removeprefix("homeassistant/"))
            check(match and match["component"] == "device", f"{topic} is a topic of device discovery")
            if not payload:
                continue
            payload = payload.replace('"VERSION"', '"1.2.3"')
            device = discovery._parse_device_payload(hass, payload, match["object_id"], match["node_id"])
            check(device, f"{topic} is taken")
            messages += 1
            for identifier, config in device["components"].items():
                platform = config.pop("platform")
                if not config:
                    removals += 1
                    continue
                config = discovery.MQTTDiscoveryPayload(config)
                config["device"], config["origin"] = device["device"], device["origin"]
                discovery._merge_common_device_options(config, device)
                taken = schemas[platform].DISCOVERY_SCHEMA(dict(config))
                lost = set(config) - set(taken) - {"device", "origin", "platform"}
                check(not lost, f"{identifier}: {platform} does not know {lost}")
                rendered(hass, Template, platform, taken)
                entities += 1
        await hass.async_stop(force=True)
    check(messages and entities and removals, "something was said")
    print(f"Home Assistant {__version__}: {messages} device messages, {entities} entities and {removals} removals are taken by its"
          " schemas; every template reads our messages")


def rendered(hass, Template, platform, config):
    """The state of an entity, read out of one of our messages by Home Assistant's own template engine."""
    def read(template, topic):
        text = template if isinstance(template, str) else template.template
        return Template(text, hass).async_render_with_possible_json_value(native(topic), error_value="ERROR")

    name, state = config["name"], read(config["value_template"], config["state_topic"])
    if platform == "binary_sensor":
        check(state in ("ON", "OFF"), f"{name}: {state}")
    elif platform == "event":
        told = json.loads(state)
        check(told.pop("event_type") in config["event_types"] and told["rule"], f"{name}: {state}")
    elif "options" in config:
        check(state in config["options"], f"{name}: {state}")
    else:
        check(re.fullmatch(r"\d+(\.\d+)?", state), f"{name}: {state}")
    for available in config.get("availability", []):
        state = read(available["value_template"], available["topic"])
        check(state in ("online", "offline"), f"{name}: available {state}")


def json_forms():
    """What needs no other's code: every JSON payload is one."""
    for name in ("frigate", "onvif", "axis", "deepstream_full", "deepstream_minimal"):
        payloads = [payload for _, _, payload in story(name) if payload.startswith(("{", "["))]
        for payload in payloads:
            json.loads(payload)
        print(f"{name}: {len(payloads)} JSON messages, {sum(map(len, payloads)) // len(payloads)} bytes on average")


json_forms()
frigate()
protobuf()
asyncio.run(home_assistant())
