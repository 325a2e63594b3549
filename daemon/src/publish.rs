//! Delivery over MQTT.
