//! The layers of an image, as rpi-image-gen writes them: YAML behind a comment block that declares variables.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use indexmap::IndexMap;
use serde::Deserialize;
use serde_saphyr as yaml;

use super::root::Root;

/// The layers of one configuration, in their order.
#[derive(Debug)]
pub(crate) struct Layers {
    device: Layer,
    others: Vec<Layer>,
    /// What hooks and scripts find in the environment: `IGconf_PREFIX_NAME`.
    variables: BTreeMap<String, String>,
}

/// What a layer of rpi-image-gen's declares, of which the layout makes use: a card's.
const SECTOR: (&str, &str) = ("IGconf_device_sector_size", "512");

/// One layer.
#[derive(Debug, Default)]
struct Layer {
    file: PathBuf,
    text: String,
    packages: Vec<String>,
    hooks: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Content {
    #[serde(default)]
    mmdebstrap: Recipe,
}

#[derive(Debug, Default, Deserialize)]
// What is written here and not done here would be in one flavour only.
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct Recipe {
    packages: Vec<String>,
    customize_hooks: Vec<String>,
}

/// A configuration: sections of settings, three of which name layers. Layers are laid in the order in which they stand there.
type Sections = IndexMap<String, IndexMap<String, Scalar>>;

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Scalar {
    Bool(bool),
    Number(i64),
    Text(String),
}

impl Scalar {
    fn text(&self) -> String {
        match self {
            Self::Bool(true) => "y".to_owned(),
            Self::Bool(false) => "n".to_owned(),
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text.clone(),
        }
    }
}

impl Layers {
    /// Reads `image/config/NAME.yaml` and the layers that it names.
    ///
    /// # Errors
    /// If a file is missing or is not of that form.
    pub(crate) fn read(image: &Path, name: &str) -> Result<Self> {
        let sections = sections(&image.join("config").join(format!("{name}.yaml")))?;
        let named = |section: &str, key: &str| {
            let layer = sections.get(section).and_then(|section| section.get(key));
            layer.map(Scalar::text).with_context(|| format!("`{name}.yaml` names no layer in `{section}: {key}:`"))
        };
        let device = Layer::read(&find(&image.join("device"), &named("device", "layer")?)?)?;
        let layout = Layer::read(&find(&image.join("image"), &named("image", "layer")?)?)?;
        let chosen = sections.get("layer").cloned().unwrap_or_default();
        let mut others = vec![layout];
        // Those that are not ours are rpi-image-gen's, and stand for what Debian's packages bring by themselves.
        let files = chosen.values().map(|layer| image.join("layer").join(format!("{}.yaml", layer.text())));
        for file in files.filter(|file| file.exists()) {
            others.push(Layer::read(&file)?);
        }
        let mut variables = BTreeMap::from([SECTOR].map(|(name, value)| (name.to_owned(), value.to_owned())));
        for layer in [&device].into_iter().chain(&others) {
            variables.extend(layer.defaults());
        }
        for (section, settings) in &sections {
            let of_section = settings.iter().filter(|_| section != "layer");
            variables.extend(of_section.map(|(key, value)| (format!("IGconf_{section}_{key}"), value.text())));
        }
        Ok(Self { device, others, variables })
    }

    /// Sets one variable for all hooks.
    pub(crate) fn set(&mut self, name: &str, value: String) {
        self.variables.insert(name.to_owned(), value);
    }

    /// The variables, in a command's environment.
    pub(crate) fn export(&self, command: &mut Command) {
        command.envs(&self.variables);
    }

    /// Every package, once.
    pub(crate) fn packages(&self) -> Vec<&str> {
        let all = [&self.device].into_iter().chain(&self.others).flat_map(|layer| &layer.packages);
        let mut all: Vec<&str> = all.map(String::as_str).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// What the device's layer does, which belongs to the base system: it is about the kernel, and slow.
    pub(crate) fn device_hooks(&self) -> &[String] {
        &self.device.hooks
    }

    /// The device's layer as text: the base system depends on it.
    pub(crate) fn device_text(&self) -> &str {
        &self.device.text
    }

    /// Lays the files of every other layer over the root folder, and runs its hooks, one layer after the other.
    ///
    /// # Errors
    /// If a hook fails.
    pub(crate) fn lay(&self, root: &Root) -> Result<()> {
        for layer in &self.others {
            let overlay = layer.file.with_extension("rootfs-overlay");
            if overlay.exists() {
                root.lay_over(&overlay)?;
            }
            for hook in &layer.hooks {
                root.run_hook(hook, self)?;
            }
        }
        Ok(())
    }
}

impl Layer {
    fn read(file: &Path) -> Result<Self> {
        let text =
            fs::read_to_string(file).with_context(|| format!("failed to read the layer `{}`", file.display()))?;
        let content: Option<Content> = yaml::from_str(&text)
            .with_context(|| format!("the layer `{}` is not of the right form", file.display()))?;
        let Recipe { packages, customize_hooks } = content.unwrap_or_default().mmdebstrap;
        Ok(Self { file: file.to_owned(), text, packages, hooks: customize_hooks })
    }

    /// The variables that the comment block declares, with their defaults.
    fn defaults(&self) -> BTreeMap<String, String> {
        let fields = || self.text.lines().filter_map(|line| line.strip_prefix("# X-Env-")?.split_once(':'));
        let prefix = fields().find_map(|(name, value)| (name == "VarPrefix").then(|| value.trim())).unwrap_or_default();
        let own_folder = self.file.parent().map(|folder| folder.display().to_string()).unwrap_or_default();
        let variables = fields().filter_map(|(name, value)| {
            // What follows a hyphen is a statement about the variable: `-Desc`, `-Valid`.
            let name = name.strip_prefix("Var-").filter(|name| !name.contains('-'))?;
            Some((format!("IGconf_{prefix}_{name}"), value.trim().replace("${DIRECTORY}", &own_folder)))
        });
        variables.collect()
    }
}

/// The sections of a configuration, with those that it includes below its own.
fn sections(file: &Path) -> Result<Sections> {
    #[derive(Deserialize)]
    struct Including {
        #[serde(default)]
        include: BTreeMap<String, String>,
    }
    let text = fs::read_to_string(file).with_context(|| format!("failed to read `{}`", file.display()))?;
    let wrong = || format!("`{}` is not of the right form", file.display());
    let Including { include } = yaml::from_str(&text).with_context(wrong)?;
    let own: Sections = yaml::from_str(&text).with_context(wrong)?;
    let mut all = Sections::new();
    for name in include.values() {
        let folder = file.parent().with_context(wrong)?;
        all.extend(sections(&folder.join(name))?);
    }
    for (section, settings) in own.into_iter().filter(|(section, _)| section != "include") {
        all.entry(section).or_default().extend(settings);
    }
    Ok(all)
}

/// The file below a folder that declares a layer of this name.
fn find(folder: &Path, name: &str) -> Result<PathBuf> {
    let declares = format!("X-Env-Layer-Name: {name}\n");
    for entry in fs::read_dir(folder).with_context(|| format!("failed to list `{}`", folder.display()))? {
        let below = entry?.path();
        for file in fs::read_dir(&below).into_iter().flatten().flatten().map(|entry| entry.path()) {
            let is_yaml = file.extension().is_some_and(|extension| extension == "yaml");
            if is_yaml && fs::read_to_string(&file)?.contains(&declares) {
                return Ok(file);
            }
        }
    }
    bail!("no layer below `{}` is named `{name}`", folder.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYER: &str = "\
# METABEGIN
# X-Env-Layer-Name: tide-base
# X-Env-VarPrefix: tide
#
# X-Env-Var-flash_gpio: 5
# X-Env-Var-flash_gpio-Desc: GPIO of the flash.
# X-Env-Var-folder: ${DIRECTORY}
# METAEND
---
mmdebstrap:
  packages:
    - chrony
    - gpsd
  customize-hooks:
    - |-
      # A hook of two lines.
      touch \"$1/a\"
    - touch \"$1/b\"
";

    /// An `image` folder of one device, one layout and one layer.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("layer/tide-base.yaml", LAYER),
            ("device/d/device.yaml", "# X-Env-Layer-Name: board\n---\nmmdebstrap:\n  packages: [linux, chrony]\n"),
            ("image/i/image.yaml", "# X-Env-Layer-Name: card\n# X-Env-VarPrefix: image\n# X-Env-Var-size: 1M\n---\n"),
            ("config/common.yaml", "image:\n  layer: card\n  size: 2M\nlayer:\n  z: foreign\n  a: tide-base\n"),
            ("config/ci.yaml", "include:\n  file: common.yaml\ndevice:\n  layer: board\nsbom:\n  enable: n\n"),
        ] {
            let file = folder.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        folder
    }

    #[test]
    fn a_configuration_brings_packages_variables_and_hooks_together() {
        let folder = folder();
        let layers = Layers::read(folder.path(), "ci").unwrap();
        assert_eq!(layers.packages(), ["chrony", "gpsd", "linux"]);
        let variable = |name: &str| layers.variables[name].as_str();
        assert_eq!((variable("IGconf_tide_flash_gpio"), variable("IGconf_image_size")), ("5", "2M"));
        assert_eq!(variable("IGconf_tide_folder"), folder.path().join("layer").to_str().unwrap());
        assert!(!layers.variables.contains_key("IGconf_tide_flash_gpio-Desc"));
        let hooks: Vec<_> = layers.others.iter().flat_map(|layer| &layer.hooks).collect();
        assert!(hooks[0].ends_with("touch \"$1/a\"") && hooks.len() == 2, "{hooks:?}");
    }

    #[test]
    fn a_layer_that_nobody_declares_is_named() {
        let folder = folder();
        fs::write(folder.path().join("config/ci.yaml"), "device:\n  layer: boat\nimage:\n  layer: card\n").unwrap();
        let error = Layers::read(folder.path(), "ci").unwrap_err().to_string();
        assert!(error.contains("`boat`"), "{error}");
    }
}
