//! What registries say an image is made of: manifests, lists of manifests, and the configuration. Only the fields that are
//! used; Docker's and OCI's are alike in them.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::digest::Digest;

/// What is asked for, in the order of preference.
pub(crate) const ACCEPT: &str = "application/vnd.oci.image.manifest.v1+json, \
    application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.docker.distribution.manifest.list.v2+json";

/// Why a manifest or a configuration is not one of an image that runs here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnfitImage {
    /// Not the JSON it should be.
    #[error("{what} cannot be read: {reason}")]
    Unreadable {
        /// Of which document.
        what: &'static str,
        /// The parser's words.
        reason: String,
    },
    /// A form that is older than digests, or not an image at all.
    #[error("{0} is not supported: images are OCI's, or Docker's of schema 2")]
    Form(String),
    /// Made for other machines only.
    #[error("it is made for {offered}, and this machine is {wanted}")]
    Platform {
        /// What there is.
        offered: String,
        /// What was needed.
        wanted: String,
    },
    /// An artifact without files.
    #[error("none of its layers has a title, so there is no file in it")]
    Untitled,
    /// A list within a list within a list.
    #[error("its lists of manifests lead to one another")]
    Nesting,
    /// More than an operator allows.
    #[error("it has {found} {what}, and {limit} are allowed")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        found: u64,
        /// How many may be.
        limit: u64,
    },
    /// The configuration and the manifest do not agree.
    #[error("its manifest lists {layers} layers, and its configuration {diff_ids}")]
    LayersDisagree {
        /// In the manifest.
        layers: usize,
        /// In the configuration.
        diff_ids: usize,
    },
}

/// Something that is somewhere else.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    #[serde(default)]
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    #[serde(default)]
    pub(crate) platform: Option<Platform>,
    #[serde(default)]
    pub(crate) annotations: Option<BTreeMap<String, String>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Platform {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    variant: Option<String>,
}

impl Platform {
    /// This machine's, in the names of images.
    pub(crate) fn here() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        Self { os: "linux".to_owned(), architecture: architecture.to_owned(), variant: None }
    }

    fn name(&self) -> String {
        format!("{}/{}", self.os, self.architecture)
    }

    /// Whether what is made for `self` runs on `machine`. A variant of amd64 may need more than the machine has.
    fn runs_on(&self, machine: &Self) -> bool {
        let plain = self.variant.as_deref().is_none_or(|variant| matches!(variant, "" | "v1" | "v8"));
        self.os == machine.os && self.architecture == machine.architecture && plain
    }
}

/// One image, or several for different machines.
pub(crate) enum Manifest {
    Image(ImageManifest),
    List(Vec<Descriptor>),
}

#[derive(Debug)]
pub(crate) struct ImageManifest {
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: u32,
    #[serde(default)]
    media_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
}

impl Manifest {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, UnfitImage> {
        let document: Document = serde_json::from_slice(bytes).map_err(unreadable("its manifest"))?;
        if document.schema_version != 2 {
            return Err(UnfitImage::Form(format!("a manifest of schema {}", document.schema_version)));
        }
        match document {
            Document { config: Some(config), layers: Some(layers), manifests: None, .. } => {
                Ok(Self::Image(ImageManifest { config, layers }))
            }
            Document { manifests: Some(manifests), config: None, layers: None, .. } => {
                Ok(Self::List(manifests))
            }
            // Both at once would mean one thing to us and another to whoever checked it.
            other => Err(UnfitImage::Form(other.media_type.unwrap_or_else(|| "this manifest".to_owned()))),
        }
    }
}

/// The manifest for this machine; the first one fits best.
pub(crate) fn choose<'a>(list: &'a [Descriptor], machine: &Platform) -> Result<&'a Descriptor, UnfitImage> {
    let fits =
        |entry: &&Descriptor| entry.platform.as_ref().is_some_and(|platform| platform.runs_on(machine));
    if let Some(found) = list.iter().find(fits) {
        return Ok(found);
    }
    match list {
        // A layout's index names its one image without saying for which machine; the configuration says it.
        [only] if only.platform.is_none() => Ok(only),
        _ => {
            let named = list.iter().filter_map(|entry| entry.platform.as_ref()).take(8).map(Platform::name);
            let offered = named.collect::<Vec<_>>().join(", ");
            Err(UnfitImage::Platform { offered, wanted: machine.name() })
        }
    }
}

/// An image's configuration: what it is made of, and how it wants to be run.
#[derive(Debug, Deserialize)]
pub(crate) struct Configuration {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
    pub(crate) config: Option<ImageConfig>,
    pub(crate) rootfs: RootFsDescription,
}

#[derive(Debug, Deserialize)]
pub(crate) struct RootFsDescription {
    pub(crate) diff_ids: Vec<Digest>,
}

/// How an image wants to be run. Anything may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageConfig {
    /// `user[:group]`, names or numbers.
    pub user: Option<String>,
    /// `NAME=value`.
    pub env: Option<Vec<String>>,
    /// What is always run.
    pub entrypoint: Option<Vec<String>>,
    /// What is run, or given to the entrypoint, unless something else is asked for.
    pub cmd: Option<Vec<String>>,
    /// Where it is run.
    pub working_dir: Option<String>,
    /// Directories that are not the image's: the keys count.
    pub volumes: Option<BTreeMap<String, serde_json::Value>>,
    /// What ends it, by name or number.
    pub stop_signal: Option<String>,
}

impl Configuration {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, UnfitImage> {
        serde_json::from_slice(bytes).map_err(unreadable("its configuration"))
    }

    /// Whether it runs here. An image that does not say is believed to.
    pub(crate) fn check_platform(&self, machine: &Platform) -> Result<(), UnfitImage> {
        let fits = |own: &str, machine: &str| own.is_empty() || own == machine;
        if fits(&self.os, &machine.os) && fits(&self.architecture, &machine.architecture) {
            return Ok(());
        }
        let offered = format!("{}/{}", self.os, self.architecture);
        Err(UnfitImage::Platform { offered, wanted: machine.name() })
    }
}

fn unreadable(what: &'static str) -> impl FnOnce(serde_json::Error) -> UnfitImage {
    move |error| UnfitImage::Unreadable { what, reason: error.to_string() }
}

/// Whether a layer's media type is one that holds files and may be fetched from the registry itself.
pub(crate) fn check_layer(layer: &Descriptor) -> Result<(), UnfitImage> {
    let known = layer.media_type.strip_prefix("application/vnd.oci.image.layer.v1.tar");
    let known = match known {
        Some(compression) => matches!(compression, "" | "+gzip" | "+zstd"),
        None => matches!(
            layer.media_type.as_str(),
            "" | "application/vnd.docker.image.rootfs.diff.tar"
                | "application/vnd.docker.image.rootfs.diff.tar.gzip"
                | "application/vnd.docker.image.rootfs.diff.tar.zstd"
        ),
    };
    if known { Ok(()) } else { Err(UnfitImage::Form(format!("a layer of type {:?}", layer.media_type))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(os: &str, architecture: &str, variant: Option<&str>, byte: u8) -> Descriptor {
        let platform = Platform {
            os: os.into(),
            architecture: architecture.into(),
            variant: variant.map(str::to_owned),
        };
        let media_type = String::new();
        Descriptor {
            media_type,
            digest: Digest::of(&[byte]),
            size: 1,
            platform: Some(platform),
            annotations: None,
        }
    }

    #[test]
    fn the_manifest_for_this_machine_is_chosen() {
        let machine = Platform { os: "linux".into(), architecture: "amd64".into(), variant: None };
        let list = [
            entry("unknown", "unknown", None, 0),
            entry("windows", "amd64", None, 1),
            entry("linux", "amd64", Some("v3"), 2),
            entry("linux", "arm64", Some("v8"), 3),
            entry("linux", "amd64", None, 4),
        ];
        assert_eq!(choose(&list, &machine).unwrap().digest, Digest::of(&[4]));
        let error = choose(&list[..2], &machine).unwrap_err().to_string();
        assert!(error.contains("windows/amd64") && error.contains("this machine is linux/amd64"), "{error}");
    }

    #[test]
    fn a_manifest_is_an_image_or_a_list_and_never_both() {
        let descriptor = format!(r#"{{"digest":"{}","size":1}}"#, Digest::of(b"x"));
        let image = format!(r#"{{"schemaVersion":2,"config":{descriptor},"layers":[{descriptor}]}}"#);
        assert!(matches!(Manifest::parse(image.as_bytes()), Ok(Manifest::Image(_))));
        let list = format!(r#"{{"schemaVersion":2,"manifests":[{descriptor}]}}"#);
        assert!(matches!(Manifest::parse(list.as_bytes()), Ok(Manifest::List(_))));
        let both =
            format!(r#"{{"schemaVersion":2,"config":{descriptor},"layers":[],"manifests":[{descriptor}]}}"#);
        for bad in [both.as_str(), r#"{"schemaVersion":1}"#, r#"{"schemaVersion":2}"#, "[]", "\u{1}"] {
            assert!(Manifest::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn layers_from_elsewhere_or_encrypted_are_refused() {
        let layer = |media_type: &str| Descriptor { media_type: media_type.into(), ..entry("", "", None, 0) };
        assert_eq!(check_layer(&layer("application/vnd.oci.image.layer.v1.tar+zstd")), Ok(()));
        for bad in [
            "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
            "application/vnd.oci.image.layer.nondistributable.v1.tar",
            "application/vnd.oci.image.layer.v1.tar+gzip+encrypted",
            "application/vnd.in-toto+json",
        ] {
            assert!(check_layer(&layer(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_configuration_of_docker_with_nulls_is_read() {
        let text = r#"{"architecture":"amd64","os":"linux","config":{"Env":null,"Cmd":["sh"],"Volumes":{"/data":{}},
            "Entrypoint":null,"WorkingDir":"","User":"1000:nogroup","StopSignal":"SIGQUIT","Labels":null},
            "rootfs":{"type":"layers","diff_ids":[]},"history":[]}"#;
        let parsed = Configuration::parse(text.as_bytes()).unwrap();
        let config = parsed.config.unwrap();
        assert_eq!(config.cmd.unwrap(), ["sh"]);
        assert_eq!(config.volumes.unwrap().keys().collect::<Vec<_>>(), ["/data"]);
        assert_eq!(config.stop_signal.as_deref(), Some("SIGQUIT"));
    }
}
