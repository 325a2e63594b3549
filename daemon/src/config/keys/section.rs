//! How a table of keys is written: from one `section!` come the typed structure and its [`Section`](super::Section); `words!` says how a
//! choice is spelt.

macro_rules! words {
    ($($name:ident { $($word:literal => $variant:ident),+ $(,)? })+) => {$(
        impl Words for $name {
            const WORDS: &'static [&'static str] = &[$($word),+];
            fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }
    )+};
}

macro_rules! rust_type {
    (Path) => { PathBuf };
    (Url) => { Secret };
    (Hidden) => { Secret };
    (Flag) => { bool };
    (Count $range:tt) => { u64 };
    (Real $range:tt) => { f64 };
    (Positive $range:tt) => { f64 };
    (Span $range:tt) => { Span };
    (Choice [$words:ty]) => { Choice<$words> };
    (Texts) => { Vec<String> };
    (Processors) => { Vec<String> };
    (Points) => { Vec<[f64; 2]> };
    (Shapes) => { Vec<Vec<[f64; 2]>> };
    ($text:ident) => { String };
}

macro_rules! field_type {
    (($($kind:tt)+)) => { Option<rust_type!($($kind)+)> };
    (($($kind:tt)+) $default:tt) => { rust_type!($($kind)+) };
}

macro_rules! kind {
    (Count [$low:tt ..= $high:tt]) => {
        Kind::Count($low, $high)
    };
    (Real [$low:tt ..= $high:tt]) => {
        Kind::Real($low, $high)
    };
    (Positive [$high:tt]) => {
        Kind::Positive($high)
    };
    (Span [$low:tt ..= $high:tt]) => {
        Kind::Span($low, $high)
    };
    (Choice [$words:ty]) => {
        Kind::Choice(<$words>::WORDS)
    };
    ($kind:ident) => {
        Kind::$kind
    };
}

macro_rules! optional {
    () => {
        None
    };
    ($value:expr) => {
        Some($value)
    };
}

macro_rules! section {
    (
        $(#[doc = $section_doc:literal])+
        $name:ident: $shape:ident $(($parent:literal))? $label:literal {
            $(
                $(#[doc = $doc:literal])+
                $key:ident: $kind:ident $([$($range:tt)+])? $(= $default:literal)? $(, otherwise $otherwise:literal)? $(, for $($source:literal)+)?;
            )+
        }
    ) => {
        $(#[doc = $section_doc])+
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(in crate::config) struct $name {
            $(
                $(#[doc = $doc])+
                pub(in crate::config) $key: field_type!(($kind $([$($range)+])?) $($default)?),
            )+
        }

        impl $name {
            /// Its keys.
            pub(in crate::config) const SECTION: Section = Section {
                name: $label,
                shape: Shape::$shape $(($parent))?,
                doc: concat!($($section_doc),+),
                keys: &[$(Key {
                    name: stringify!($key),
                    kind: kind!($kind $([$($range)+])?),
                    doc: concat!($($doc),+),
                    default: optional!($(|| Raw::from($default))?),
                    otherwise: optional!($($otherwise)?),
                    sources: &[$($($source),+)?],
                }),+],
            };
        }
    };
}
