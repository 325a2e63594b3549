# Prints each object that comes. pip install paho-mqtt; python subscriber.py HOST [PORT]
import json
import sys

import paho.mqtt.client as mqtt

client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
client.on_connect = lambda client, *_: client.subscribe("egret/+/cam/+/track/new", qos=1)


def heard(client, data, message):
    track = json.loads(message.payload)
    print(track["camera"], track["class"], track["track"], track["box"], flush=True)


client.on_message = heard
client.connect(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1883)
client.loop_forever()
