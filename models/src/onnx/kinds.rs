//! What is often mistaken for an ONNX file: told by its bytes, or by its name where the bytes say nothing, with the way to export.

use super::Refused;

/// How far into a file its kind shows.
const LOOKED_AT: usize = 4096;

const TORCH: &str = "load it in Python with the code that made it and call torch.onnx.export(model.eval(), picture, \"model.onnx\", opset_version=17) \
                     (Ultralytics: `yolo export model=FILE format=onnx`; YOLOX: tools/export_onnx.py)";
const TENSORRT: &str = "an engine runs only on the machine that built it: take the ONNX file that it was built from";
const TAO: &str = "take the `deployable` ONNX version of the network from NGC, or `tao model <network> export` to ONNX; tao-converter reads \
                   .etlt, nothing else does";
const DARKNET: &str =
    "convert it with its .cfg file (e.g. Tianxiaomo/pytorch-YOLOv4, demo_darknet2onnx.py), or train anew with an ONNX export";
const TFLITE: &str = "python -m tf2onnx.convert --tflite FILE --output model.onnx --opset 17";
const KERAS: &str = "python -m tf2onnx.convert --keras FILE --output model.onnx --opset 17";
const TENSORFLOW: &str =
    "python -m tf2onnx.convert --graphdef FILE --inputs … --outputs … --output model.onnx, or --saved-model DIR";
const OPENVINO: &str = "OpenVINO's files cannot be turned back: export ONNX from the network that they were made from";
const WEIGHTS: &str = "it holds weights without the network: load it into its network in Python and call torch.onnx.export";
const PADDLE: &str =
    "paddle2onnx --model_dir DIR --model_filename model.pdmodel --params_filename model.pdiparams --save_file model.onnx";
const CAFFE: &str = "convert it in Python (caffe2onnx), or export the network from the framework that trained it";
const NCNN: &str = "NCNN's files cannot be turned back: export ONNX from the network that they were made from";
const COREML: &str = "Core ML's files cannot be turned back: export ONNX from the network that they were made from";
const COMPILED: &str = "a compiled network runs only on its accelerator: take the ONNX file that it was compiled from";
const NOT_A_MODEL: &str = "name the ONNX file itself; download it again if it was to be one";
const PACKED: &str = "unpack it and name the ONNX file inside";

/// Other kinds by their first bytes.
pub(super) fn by_content(bytes: &[u8]) -> Option<Refused> {
    let starts = |magic: &[u8]| bytes.starts_with(magic);
    let head = &bytes[..bytes.len().min(LOOKED_AT)];
    let within = |word: &[u8]| head.windows(word.len()).any(|part| part == word);
    let (kind, export) = match bytes {
        [] => ("an empty file", NOT_A_MODEL),
        _ if starts(b"PK\x03\x04") => zip(&within),
        _ if matches!(bytes, [0x80, 2..=5, ..]) => ("a Python pickle (an old PyTorch checkpoint?)", TORCH),
        _ if starts(b"ftrt") || starts(b"ptrt") => ("a TensorRT engine", TENSORRT),
        _ if starts(b"\x89HDF") => ("an HDF5 file (Keras?)", KERAS),
        _ if starts(b"\x1f\x8b") => ("a gzip archive", PACKED),
        _ if starts(b"ustar") || bytes.get(257..262) == Some(b"ustar") => ("a tar archive", PACKED),
        _ if starts(b"\x7fELF") => ("an ELF binary", NOT_A_MODEL),
        _ if bytes.get(4..8) == Some(b"TFL3") => ("a TensorFlow Lite model", TFLITE),
        _ if is_safetensors(bytes) => ("a safetensors file", WEIGHTS),
        // Version 0.1 or 0.2 of Darknet's weights, then how many pictures they saw.
        _ if starts(b"\0\0\0\0\x01\0\0\0") || starts(b"\0\0\0\0\x02\0\0\0") => ("a Darknet .weights file", DARKNET),
        _ if starts(b"version https://git-lfs") => ("a Git LFS pointer, not the file itself", "fetch it with `git lfs pull`"),
        _ if starts(b"<?xml") && within(b"<net ") => ("an OpenVINO network", OPENVINO),
        _ if starts(b"<!DOCTYPE") || starts(b"<html") || starts(b"<?xml") => ("a web page or XML", NOT_A_MODEL),
        _ if starts(b"\xff\xd8\xff") => ("a JPEG picture", NOT_A_MODEL),
        _ if starts(b"\x89PNG\r\n\x1a\n") => ("a PNG picture", NOT_A_MODEL),
        _ if starts(b"GIF8") || starts(b"BM") && bytes.get(6..10) == Some(&[0; 4]) => ("a picture", NOT_A_MODEL),
        _ if starts(b"RIFF") => ("a WebP picture or an AVI film", NOT_A_MODEL),
        _ if bytes.get(4..8) == Some(b"ftyp") => ("an MP4 film", NOT_A_MODEL),
        _ if starts(b"\x1aE\xdf\xa3") => ("a Matroska film", NOT_A_MODEL),
        _ if starts(b"%PDF") => ("a PDF document", NOT_A_MODEL),
        _ if starts(b"7767517") => ("an NCNN network", NCNN),
        _ if starts(b"[net]") => ("a Darknet configuration, a text file", DARKNET),
        _ if head.iter().take(512).all(|b| matches!(b, b'\t' | b'\n' | b'\r' | 0x20..=0x7e)) => ("a text file", NOT_A_MODEL),
        _ => return None,
    };
    Some(Refused::NotOnnx { kind, export })
}

fn zip(within: &impl Fn(&[u8]) -> bool) -> (&'static str, &'static str) {
    if within(b"constants.pkl") || within(b"/code/") {
        ("a TorchScript archive (PyTorch)", TORCH)
    } else if within(b"data.pkl") {
        ("a PyTorch checkpoint (.pt or .pth)", TORCH)
    } else if within(b"metadata.json") && within(b"config.json") {
        ("a Keras archive", KERAS)
    } else {
        ("a zip archive (a PyTorch .pt or .pth file?)", TORCH)
    }
}

/// Eight bytes of length, then a JSON object of that length.
fn is_safetensors(bytes: &[u8]) -> bool {
    let Some((len, rest)) = bytes.split_first_chunk::<8>() else { return false };
    let len = u64::from_le_bytes(*len);
    rest.starts_with(b"{\"") && len >= 2 && len <= rest.len() as u64
}

/// Other kinds by the ending of a file's name, for those whose bytes say nothing (encrypted or without a mark).
pub(super) fn refused_by_name(name: &str) -> Option<Refused> {
    let (_, ending) = name.rsplit_once('.')?;
    let (kind, export) = match ending.to_ascii_lowercase().as_str() {
        "pt" | "pth" | "ckpt" => ("a PyTorch file", TORCH),
        "torchscript" => ("a TorchScript archive (PyTorch)", TORCH),
        "safetensors" => ("a safetensors file", WEIGHTS),
        "etlt" | "tlt" => ("an encrypted TAO network", TAO),
        "engine" | "plan" | "trt" => ("a TensorRT engine", TENSORRT),
        "weights" => ("a Darknet .weights file", DARKNET),
        "tflite" => ("a TensorFlow Lite model", TFLITE),
        "h5" | "hdf5" | "keras" => ("a Keras file", KERAS),
        "pb" => ("a TensorFlow graph", TENSORFLOW),
        "xml" | "bin" => ("an OpenVINO network", OPENVINO),
        "pdmodel" | "pdiparams" => ("a PaddlePaddle network", PADDLE),
        "caffemodel" | "prototxt" => ("a Caffe network", CAFFE),
        "param" => ("an NCNN network", NCNN),
        "mlmodel" | "mlpackage" => ("a Core ML network", COREML),
        "hef" | "rknn" | "blob" | "dlc" | "uff" => ("a network compiled for one accelerator", COMPILED),
        _ => return None,
    };
    Some(Refused::NotOnnx { kind, export })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(refused: Option<Refused>) -> &'static str {
        match refused {
            Some(Refused::NotOnnx { kind, export }) => {
                assert!(export.len() > 20, "{kind}: {export}");
                kind
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn bytes_tell_what_a_file_is() {
        let safetensors = [&40_u64.to_le_bytes()[..], b"{\"w\":{\"dtype\":\"F32\"}}", &[b' '; 40]].concat();
        let mut tar = vec![1; 600];
        tar[257..262].copy_from_slice(b"ustar");
        for (bytes, word) in [
            (&b"PK\x03\x04....model/code/__torch__.py....model/constants.pkl"[..], "TorchScript"),
            (b"PK\x03\x04....archive/data.pkl", "PyTorch checkpoint"),
            (b"PK\x03\x04....metadata.json....config.json", "Keras"),
            (b"PK\x03\x04", "zip"),
            (b"\x80\x04}q\0", "pickle"),
            (b"ftrt\0\0\x01", "TensorRT"),
            (b"\x89HDF\r\n\x1a\n", "HDF5"),
            (b"\x1c\0\0\0TFL3", "TensorFlow Lite"),
            (&safetensors, "safetensors"),
            (b"\0\0\0\0\x02\0\0\0\x05\0\0\0\0\0\0\0", "Darknet .weights"),
            (b"<?xml version=\"1.0\"?>\n<net name=\"x\" version=\"11\">", "OpenVINO"),
            (b"<?xml version=\"1.0\"?><x/>", "XML"),
            (b"[net]\nbatch=1\n", "Darknet configuration"),
            (b"7767517\n75 83\n", "NCNN"),
            (&tar, "tar"),
            (b"\xff\xd8\xff\xe0\0\x10JFIF", "JPEG"),
            (b"\x89PNG\r\n\x1a\n\0", "PNG"),
            (b"\0\0\0\x20ftypisom", "MP4"),
        ] {
            let kind = kind(by_content(bytes));
            assert!(kind.contains(word), "{kind} is not {word}");
        }
        assert_eq!(by_content(b"\x08\x08\x12\x07pytorch"), None);
    }

    #[test]
    fn a_name_is_asked_only_where_the_bytes_are_silent() {
        let refused = |name: &str, bytes: &[u8]| crate::onnx::read_named(name, bytes).expect_err("no ONNX").to_string();
        assert!(refused("/a/net.etlt", b"\x93\x01\xfe\xa7").contains("TAO"));
        assert!(refused("/a/net.etlt", b"\x89PNG\r\n\x1a\n\0").contains("PNG"));
        assert!(refused("/a/net.onnx", b"\x93\x01\xfe\xa7").contains("damaged"));
    }

    #[test]
    fn names_tell_what_bytes_do_not() {
        for (name, word) in
            [("a.etlt", "TAO"), ("b.WEIGHTS", "Darknet"), ("c.pt", "PyTorch"), ("d.engine", "TensorRT"), ("e.rknn", "compiled")]
        {
            assert!(kind(refused_by_name(name)).contains(word));
        }
        for name in ["a.onnx", "model", "x.onnx.part", ""] {
            assert_eq!(refused_by_name(name), None);
        }
    }
}
