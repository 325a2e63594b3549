//! Where frames come from: RTSP, files, devices, test pictures.
