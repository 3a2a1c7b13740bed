//! Whether a page is what its makers wrote, with text of elsewhere only where text belongs.

/// What pages are made of.
const ELEMENTS: [&str; 52] = [
    "a",
    "b",
    "body",
    "button",
    "caption",
    "circle",
    "code",
    "dd",
    "details",
    "div",
    "dl",
    "dt",
    "em",
    "figcaption",
    "figure",
    "footer",
    "g",
    "h1",
    "h2",
    "h3",
    "h4",
    "head",
    "header",
    "html",
    "i",
    "input",
    "label",
    "li",
    "line",
    "main",
    "meta",
    "nav",
    "ol",
    "p",
    "path",
    "polygon",
    "polyline",
    "pre",
    "rect",
    "script",
    "section",
    "small",
    "span",
    "strong",
    "style",
    "summary",
    "svg",
    "table",
    "tbody",
    "td",
    "text",
    "th",
];
/// The same; a list of its own because of its length.
const MORE: [&str; 6] = ["thead", "title", "tr", "ul", "br", "hr"];
/// Those without an end.
const VOID: [&str; 4] = ["meta", "input", "br", "hr"];

/// Every tag is one of ours, ends where it must, and has attributes that are ours too: none that runs a script or leads elsewhere. There is
/// the one script that the policy lets run, and no other.
pub(super) fn is_well_formed(page: &str) {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = page;
    let (mut scripts, mut styles) = (0, 0);
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        if let Some(comment) = rest.strip_prefix("!--") {
            rest = comment.split_once("-->").expect("a comment has an end").1;
            continue;
        }
        if let Some(doctype) = rest.strip_prefix("!DOCTYPE html>") {
            rest = doctype;
            continue;
        }
        if let Some(end) = rest.strip_prefix('/') {
            let (name, behind) = end.split_once('>').expect("a tag has an end");
            assert_eq!(open.pop(), Some(name), "tags are not nested");
            rest = behind;
            continue;
        }
        let length = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let name = &rest[..length];
        assert!(ELEMENTS.contains(&name) || MORE.contains(&name), "an element that no page has: {name:?}");
        rest = attributes(&rest[length..]);
        if !VOID.contains(&name) {
            open.push(name);
        }
        if let "script" | "style" = name {
            *(if name == "script" { &mut scripts } else { &mut styles }) += 1;
            // Its contents are no markup.
            let end = rest.find(&format!("</{name}>")).expect("it has an end");
            rest = &rest[end..];
        }
    }
    assert!(open.is_empty(), "{open:?} have no end");
    assert_eq!((scripts, styles), (1, 1), "the page has one script and one style of its own");
}

/// What follows the attributes of a tag.
fn attributes(mut rest: &str) -> &str {
    loop {
        rest = rest.trim_start();
        if let Some(behind) = rest.strip_prefix('>') {
            return behind;
        }
        let length = rest.find(['=', ' ', '>', '"', '<', '\'']).expect("a tag has an end");
        let name = &rest[..length];
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == ':';
        assert!(length > 0 && name.chars().all(is_name), "no attribute: {:?}", rest.get(..40));
        assert!(!name.to_ascii_lowercase().starts_with("on") && name != "style", "the policy refuses {name}");
        rest = &rest[length..];
        let Some(value) = rest.strip_prefix("=\"") else { continue };
        let (value, behind) = value.split_once('"').expect("a value has an end");
        assert!(!value.contains('<'), "a tag in the value of {name}");
        if name == "href" {
            assert!(
                value.starts_with(['#', '/', '.']) || value.starts_with("data:application/zstd;base64,"),
                "{value:?}"
            );
        }
        rest = behind;
    }
}
