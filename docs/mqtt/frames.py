# Prints the boxes of every frame that comes as CBOR (frame_format = "cbor"). pip install paho-mqtt cbor2; python frames.py HOST [PORT]
import struct
import sys

import cbor2
import paho.mqtt.client as mqtt


def heard(client, data, message):
    frame = cbor2.loads(message.payload)
    width, height, classes = frame[11], frame[12], frame[14]
    for i, of in enumerate(frame[17]):
        left, top, right, bottom = (part / 65535 for part in struct.unpack_from("<4H", frame[20], 8 * i))
        print(frame[3], frame[5], classes[of], round(left * width), round(top * height), round(right * width), round(bottom * height), flush=True)


client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
client.on_connect = lambda client, *_: client.subscribe("egret/+/cam/+/frame")
client.on_message = heard
client.connect(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1883)
client.loop_forever()
