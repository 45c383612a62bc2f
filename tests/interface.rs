//! What a user of the library can rely on: no unstable telemetry crate in its public interface, and few dependencies.
//!
//! Whatever is `pub` in the source is public: the compiler's lint `unreachable_pub` sees to that.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use syn::visit::{self, Visit};
use syn::{Fields, File, ImplItem, Item, ItemImpl, TraitItem, Type, UseTree, Visibility};

/// Crates before 1.0 whose types would make their versions ours; those whose names begin so are meant too.
const UNSTABLE: [&str; 4] = ["tracing", "metrics", "opentelemetry", "fastrace"];

/// Packages that the library stands on without features, macros and their own dependencies included; `src/guide/features.md` and the
/// README tell it.
const BUDGET: usize = 30;

fn is_unstable(name: &str) -> bool {
    UNSTABLE.iter().any(|known| name == *known || name.strip_prefix(known).is_some_and(|rest| rest.starts_with('_')))
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

fn is_pub(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

/// Every item of a file, those in modules and in item-like macros (`pin_project!`) included.
fn items(file: File, found: &mut Vec<Item>) {
    for item in file.items {
        match item {
            Item::Mod(module) => {
                let items_inside = module.content.map_or_else(Vec::new, |(_, items)| items);
                items(File { shebang: None, attrs: Vec::new(), items: items_inside }, found);
            }
            Item::Macro(call) => match syn::parse2::<File>(call.mac.tokens.clone()) {
                Ok(inside) if call.ident.is_none() => items(inside, found),
                _ => found.push(Item::Macro(call)),
            },
            item => found.push(item),
        }
    }
}

/// What the names of a file stand for.
#[derive(Default)]
struct Names {
    /// Taken from unstable crates.
    unstable: HashSet<String>,
    /// Taken from elsewhere, or modules of this file.
    own: HashSet<String>,
}

impl Names {
    fn of(all: &[Item], modules: &[String]) -> Self {
        let mut names = Self { own: modules.iter().cloned().collect(), ..Self::default() };
        for item in all {
            if let Item::Use(used) = item {
                names.learn(&used.tree, None);
            }
        }
        names
    }

    fn learn(&mut self, tree: &UseTree, root: Option<bool>) {
        let known = |name: &syn::Ident| root.unwrap_or_else(|| is_unstable(&name.to_string()));
        let (name, unstable) = match tree {
            UseTree::Path(path) => return self.learn(&path.tree, Some(known(&path.ident))),
            UseTree::Group(group) => return group.items.iter().for_each(|tree| self.learn(tree, root)),
            UseTree::Name(used) => (used.ident.to_string(), known(&used.ident)),
            UseTree::Rename(used) => (used.rename.to_string(), known(&used.ident)),
            UseTree::Glob(_) => return assert!(root != Some(true), "a glob of an unstable crate hides what it brings"),
        };
        if unstable {
            self.unstable.insert(name)
        } else {
            self.own.insert(name)
        };
    }
}

/// Looks for paths into unstable crates.
struct Look<'a> {
    names: &'a Names,
    found: Vec<String>,
}

impl<'ast> Visit<'ast> for Look<'_> {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        let first = &segments[0];
        let of_crate =
            is_unstable(first) && segments.len() > 1 && (path.leading_colon.is_some() || !self.names.own.contains(first));
        if of_crate || self.names.unstable.contains(first) {
            self.found.push(segments.join("::"));
        }
        visit::visit_path(self, path);
    }
}

impl Look<'_> {
    fn fields(&mut self, fields: &Fields, all: bool) {
        fields.iter().filter(|field| all || is_pub(&field.vis)).for_each(|field| self.visit_type(&field.ty));
    }

    fn item(&mut self, item: &Item, public: &HashSet<String>) {
        match item {
            Item::Fn(item) if is_pub(&item.vis) => self.visit_signature(&item.sig),
            Item::Const(item) if is_pub(&item.vis) => self.visit_type(&item.ty),
            Item::Static(item) if is_pub(&item.vis) => self.visit_type(&item.ty),
            Item::Type(item) if is_pub(&item.vis) => self.visit_item_type(item),
            Item::Use(item) if is_pub(&item.vis) => {
                let mut names = Names::default();
                names.learn(&item.tree, None);
                self.found.extend(names.unstable);
            }
            Item::Struct(item) if is_pub(&item.vis) => {
                self.visit_generics(&item.generics);
                self.fields(&item.fields, false);
            }
            Item::Enum(item) if is_pub(&item.vis) => {
                self.visit_generics(&item.generics);
                item.variants.iter().for_each(|variant| self.fields(&variant.fields, true));
            }
            Item::Trait(item) if is_pub(&item.vis) => {
                self.visit_generics(&item.generics);
                item.supertraits.iter().for_each(|bound| self.visit_type_param_bound(bound));
                for item in &item.items {
                    match item {
                        TraitItem::Fn(item) => self.visit_signature(&item.sig),
                        item => self.visit_trait_item(item),
                    }
                }
            }
            Item::Impl(item) => self.implementation(item, public),
            // What could not be read as items: a macro's definition, or one with a language of its own.
            Item::Macro(call) => {
                let text = call.mac.tokens.to_string();
                let words: Vec<&str> = text.split_whitespace().collect();
                let paths = words.windows(2).filter(|pair| is_unstable(pair[0]) && pair[1].starts_with("::"));
                if words.contains(&"pub") {
                    self.found.extend(paths.map(|pair| format!("{} in a macro", pair[0])));
                }
            }
            _ => {}
        }
    }

    fn implementation(&mut self, item: &ItemImpl, public: &HashSet<String>) {
        let is_public = match &*item.self_ty {
            Type::Path(path) => path.path.segments.last().is_some_and(|last| public.contains(&last.ident.to_string())),
            _ => true,
        };
        if let (Some((_, path, _)), true) = (&item.trait_, is_public) {
            self.visit_path(path);
            self.visit_generics(&item.generics);
            for item in &item.items {
                match item {
                    ImplItem::Fn(item) => self.visit_signature(&item.sig),
                    ImplItem::Type(item) => self.visit_type(&item.ty),
                    _ => {}
                }
            }
        } else if item.trait_.is_none() {
            for item in &item.items {
                match item {
                    ImplItem::Fn(item) if is_pub(&item.vis) => self.visit_signature(&item.sig),
                    ImplItem::Const(item) if is_pub(&item.vis) => self.visit_type(&item.ty),
                    _ => {}
                }
            }
        }
    }
}

/// A file as read: its items, and the modules that it declares.
fn read(text: &str) -> (Vec<Item>, Vec<String>) {
    let file = syn::parse_file(text).unwrap();
    let modules = file.items.iter().filter_map(|item| match item {
        Item::Mod(module) => Some(module.ident.to_string()),
        _ => None,
    });
    let modules = modules.collect();
    let mut all = Vec::new();
    items(file, &mut all);
    (all, modules)
}

/// Names of public types.
fn public(all: &[Item]) -> impl Iterator<Item = String> + '_ {
    all.iter().filter_map(|item| match item {
        Item::Struct(item) if is_pub(&item.vis) => Some(item.ident.to_string()),
        Item::Enum(item) if is_pub(&item.vis) => Some(item.ident.to_string()),
        _ => None,
    })
}

fn unstable_in(text: &str, public_types: &HashSet<String>) -> Vec<String> {
    let (all, modules) = read(text);
    let names = Names::of(&all, &modules);
    let mut look = Look { names: &names, found: Vec::new() };
    all.iter().for_each(|item| look.item(item, public_types));
    look.found
}

#[test]
fn no_telemetry_crate_before_1_0_is_in_the_public_interface() {
    let files: Vec<_> = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let texts: Vec<_> = files.iter().map(|path| (path, fs::read_to_string(path).unwrap())).collect();
    let types: HashSet<String> = texts.iter().flat_map(|(_, text)| public(&read(text).0).collect::<Vec<_>>()).collect();
    assert!(types.contains("Hopwatch") && types.contains("Timed"), "the source was not read");
    let found: Vec<_> = texts
        .iter()
        .flat_map(|(path, text)| unstable_in(text, &types).into_iter().map(move |name| format!("{}: {name}", path.display())))
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_search_for_unstable_types_finds_them_wherever_they_can_stand() {
    let types = HashSet::from(["Door".to_owned()]);
    let caught = [
        "pub fn span() -> tracing::Span { todo!() }",
        "use tracing::Span as S; impl Door { pub fn span(&self) -> Option<S> { None } }",
        "pub struct Door { pub span: tracing::Span }",
        "pub enum Door { Of(metrics::Counter) }",
        "pub struct Door<T: metrics::Recorder>(T);",
        "pub use opentelemetry_sdk::trace::SdkTracerProvider;",
        "impl ::metrics::Recorder for Door {}",
        "impl From<tracing::Span> for Door { fn from(_: tracing::Span) -> Self { Door } }",
        "pub fn record(_: impl Fn() -> Box<dyn metrics_util::Recorder>) {}",
        "pub trait Watch: tracing::Subscriber {}",
        "pub trait Watch { fn on(&self, span: &tracing::Span); }",
        "pin_project! { pub struct Door { pub span: tracing::Span } }",
        "macro_rules! door { ($name:ident) => { pub fn $name() -> tracing::Span { todo!() } } }",
    ];
    for text in caught {
        assert!(!unstable_in(text, &types).is_empty(), "not found: {text}");
    }
    let fine = [
        "pub struct Door { span: tracing::Span }",
        "pub(crate) fn span() -> tracing::Span { tracing::Span::none() }",
        "pub fn enter() { tracing::info_span!(\"hop\"); let _: metrics::Counter; }",
        "struct Own; impl metrics::Recorder for Own {}",
        "mod metrics; pub fn of() -> metrics::Metrics { todo!() }",
        "use crate::export::metrics; pub fn of() -> metrics::Metrics { todo!() }",
        "pin_project! { pub struct Door { span: tracing::Span } }",
    ];
    for text in fine {
        assert_eq!(unstable_in(text, &types), [""; 0], "{text}");
    }
}

/// What a public function says of itself, by its name.
fn documented(item: &Item) -> Vec<(&syn::Signature, String)> {
    let text = |attributes: &[syn::Attribute]| {
        let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
            syn::Meta::NameValue(pair) if pair.path.is_ident("doc") => Some(&pair.value),
            _ => None,
        });
        let lines = lines.filter_map(|value| match value {
            syn::Expr::Lit(literal) => match &literal.lit {
                syn::Lit::Str(line) => Some(line.value()),
                _ => None,
            },
            _ => None,
        });
        lines.collect::<Vec<_>>().join("\n")
    };
    match item {
        Item::Fn(item) if is_pub(&item.vis) => vec![(&item.sig, text(&item.attrs))],
        Item::Impl(item) if item.trait_.is_none() => {
            let functions = item.items.iter().filter_map(|item| match item {
                ImplItem::Fn(item) if is_pub(&item.vis) => Some((&item.sig, text(&item.attrs))),
                _ => None,
            });
            functions.collect()
        }
        _ => Vec::new(),
    }
}

/// The type that a function gives, without its path and parameters.
fn given(signature: &syn::Signature) -> Option<String> {
    let syn::ReturnType::Type(_, given) = &signature.output else { return None };
    let Type::Path(path) = &**given else { return None };
    Some(path.path.segments.last()?.ident.to_string())
}

#[test]
fn whatever_is_awaited_says_its_cancel_safety_and_whatever_can_fail_its_errors() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = ["instrument", "watch"].map(|folder| sources(&root.join(folder))).concat();
    let read: Vec<_> = files.iter().map(|path| (path, read(&fs::read_to_string(path).unwrap()).0)).collect();
    let is_future = |item: &ItemImpl| {
        let (_, path, _) = item.trait_.as_ref()?;
        let name = |path: &syn::Path| Some(path.segments.last()?.ident.to_string());
        let Type::Path(own) = &*item.self_ty else { return None };
        (name(path)? == "Future").then(|| name(&own.path)).flatten()
    };
    let futures: HashSet<String> = read
        .iter()
        .flat_map(|(_, items)| items)
        .filter_map(|item| if let Item::Impl(item) = item { is_future(item) } else { None })
        .collect();
    assert!(futures.contains("Timed") && futures.contains("Carried"), "{futures:?}");
    let mut missing = Vec::new();
    let mut awaited = 0;
    for (path, items) in &read {
        for (signature, text) in items.iter().flat_map(documented) {
            let gives = given(signature);
            let is_awaited = signature.asyncness.is_some() || gives.as_ref().is_some_and(|given| futures.contains(given));
            awaited += u32::from(is_awaited);
            let place = format!("{}: {}", path.display(), signature.ident);
            if is_awaited && !text.contains("ancel safety") {
                missing.push(format!("{place}: no cancel safety"));
            }
            if !is_awaited && gives.as_deref() == Some("Result") && !text.contains("# Errors") && !text.contains("untouched") {
                missing.push(format!("{place}: no errors"));
            }
        }
    }
    assert!(awaited >= 15, "{awaited} functions are awaited");
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn the_bare_library_keeps_to_its_dependency_budget() {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--no-default-features", "--edges", "normal", "--prefix", "none", "--format", "{p}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let listed = String::from_utf8(tree.stdout).unwrap();
    let packages: HashSet<&str> = listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(packages.contains("hopwatch") && packages.contains("tokio"), "{listed}");
    assert!(packages.len() - 1 <= BUDGET, "{} packages: {packages:?}", packages.len() - 1);
    for text in ["README.md", "src/guide/features.md"] {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(text)).unwrap();
        assert!(text.contains(&format!("at most {BUDGET} packages")), "the page tells another budget");
    }
}
