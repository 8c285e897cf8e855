//! `exportTo`: the namespaces that see an object (semantics.md §1.7).

use taut_source::Text;

use crate::grammar::is_label;
use crate::read::{At, Reader};
use crate::rules;

/// Reports a list that the API refuses. `nobody` says whether `~`, no namespace at all, may be written.
pub(crate) fn check_export_to(list: &[At<Text>], nobody: bool, cx: &mut Reader<'_>) {
    let own = cx.namespace();
    let namespace = |entry: &Text| if entry == "." { own.clone() } else { entry.clone() };
    for (index, entry) in list.iter().enumerate() {
        let text = entry.as_str();
        if !(matches!(text, "*" | ".") || nobody && text == "~" || is_label(text)) {
            let help = if nobody { "write `*`, `.`, `~` or a namespace" } else { "write `*`, `.` or a namespace" };
            cx.say(&rules::BAD_VALUE, entry.span, format!("`{text}` is no namespace to export to"), help);
        } else if list[..index].iter().any(|other| namespace(&other.value) == namespace(&entry.value)) {
            cx.say(
                &rules::DUPLICATE,
                entry.span,
                format!("`{text}` is exported to already"),
                "write each namespace once",
            );
        } else if 1 < list.len() && matches!(text, "*" | "~") {
            let message = format!("`{text}` says everything: nothing can stand beside it");
            cx.say(&rules::EXCLUSIVE, entry.span, message, format!("keep `{text}` alone, or leave it out"));
        }
    }
}
