// Prints each object that comes. npm install mqtt; node subscriber.mjs mqtt://HOST:PORT
import mqtt from "mqtt";

const client = mqtt.connect(process.argv[2] ?? "mqtt://localhost", { protocolVersion: 5 });
client.on("connect", () => client.subscribe("egret/+/cam/+/track/new", { qos: 1 }));
client.on("message", (topic, payload) => {
  const track = JSON.parse(payload);
  console.log(track.camera, track.class, track.track, track.box);
});
