//! The keys of the brokers.

use std::path::PathBuf;

use serde::Deserialize;

use super::{Choice, FrameFormat, Key, Kind, MqttVersion, Raw, Secret, Section, Shape, Span, Words};

/// A section with its own keys, and after them those that every broker has.
macro_rules! broker_section {
    ($(#[doc = $doc:literal])+ $name:ident: $shape:ident $(($parent:literal))? $label:literal { $($own:tt)+ }) => {
        section! {
            $(#[doc = $doc])+
            $name: $shape $(($parent))? $label {
                $($own)+
                /// Whether anything is published there; false: the other keys stay, and mean nothing.
                enabled: Flag = true;
                /// Protocol version.
                version: Choice[MqttVersion] = "5";
                /// Client identifier, unique at the broker.
                client_id: Text, otherwise "egret- and the device's name";
                /// User name at the broker.
                username: Text;
                /// File that holds the password.
                password_file: Path;
                /// Environment variable that holds the password.
                password_env: Text;
                /// systemd credential that holds the password (LoadCredential= in the unit).
                password_credential: Text;
                /// The password itself. Better one of the three above.
                password: Hidden;
                /// PEM file with the authorities that an mqtts broker's certificate is checked against.
                ca_file: Path, otherwise "the system's authorities";
                /// PEM file with our own certificate, and those between it and the authority, for brokers that ask for one.
                cert_file: Path, otherwise "none is shown";
                /// PEM file with its private key.
                key_file: Path;
                /// systemd credential that holds the private key (LoadCredential= in the unit).
                key_credential: Text;
                /// Name that the broker's certificate has to be for, and that the broker is told (SNI).
                server_name: Text, otherwise "the URL's host";
                /// Application protocols that are offered (ALPN), for brokers behind a port that others share.
                alpn: Texts, otherwise "none";
                /// MQTT keep-alive.
                keep_alive: Span["5s" ..= "18h"] = "30s";
                /// Whether each frame's detections are published on cam/NAME/frame.
                frames: Flag = true;
                /// How they are written: json, or the compact form as cbor or protobuf. All other messages are JSON.
                frame_format: Choice[FrameFormat] = "json";
                /// Topics that this broker gets: filters over whole topics, with + and #.
                topics: Texts, otherwise "everything";
                /// Topics that it does not get all the same.
                except: Texts, otherwise "none";
                /// Most bytes a second to this broker. Over it, first messages of frames are left out, then updates of tracks; nothing else.
                max_bytes_per_second: Count[1000 ..= 1_000_000_000], otherwise "no limit";
            }
        }
    };
}

broker_section! {
    /// The first broker, and what all brokers have in common. Without a URL nothing is published.
    Mqtt: Table "mqtt" {
        /// mqtt://host:port or mqtts://host:port (TLS, certificate verified). A path is the base topic.
        url: Url, otherwise "nothing is published";
        /// First level or levels of every topic.
        base_topic: Text = "egret";
        /// Shortest time between two update messages of one track.
        track_update_interval: Span["0s" ..= "1h"] = "1s";
        /// Whether commands that are allowed, and the switches and birth messages of dialects, are heard at it.
        listens: Flag = true;
    }
}

broker_section! {
    /// A further broker, with a connection, a filter and limits of its own.
    Broker: ListUnder("mqtt") "broker" {
        /// Its name: in logs, in metrics, and of its place in the queue on disk.
        name: Name;
        /// mqtt://host:port or mqtts://host:port (TLS, certificate verified).
        url: Url;
        /// Whether commands that are allowed, and the switches and birth messages of dialects, are heard at it too.
        listens: Flag = false;
    }
}
