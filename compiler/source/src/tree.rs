//! One YAML document as a tree of values with their places.
//!
//! Owns: the arena that every reader fills and every typed resource is read from.
//! Invariant: nodes stand in document order, each directly followed by its children; `after` is the index of the
//! first node that is not below it. A map's children are key, value, key, value; every key is a string.

use std::sync::Arc;

use crate::Span;

/// What one node holds, borrowed from its tree.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Data<'a> {
    /// `null`, `~` or nothing at all.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number that fits in 64 bits with a sign.
    Int(i64),
    /// A whole number above `i64::MAX`.
    UInt(u64),
    /// Any other number.
    Float(f64),
    /// A string.
    Text(&'a str),
    /// A list.
    List,
    /// A map.
    Map,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Stored {
    Null,
    Bool(bool),
    Int(i64),
    UInt(u64),
    Float(f64),
    /// The text is these bytes of the source, as they stand.
    Plain {
        start: u32,
        end: u32,
    },
    /// The text had escapes or folds: an index into `owned`.
    Owned(u32),
    List,
    Map,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Entry {
    stored: Stored,
    span: Span,
    after: u32,
}

/// The values of one document.
#[derive(Clone, Debug, PartialEq)]
pub struct Tree {
    source: Arc<str>,
    entries: Vec<Entry>,
    owned: Vec<Box<str>>,
}

/// One value of a tree.
#[derive(Clone, Copy, Debug)]
pub struct Node<'a> {
    tree: &'a Tree,
    index: u32,
}

impl Tree {
    /// The document's top value.
    #[must_use]
    pub fn root(&self) -> Node<'_> {
        Node { tree: self, index: 0 }
    }

    /// How many values the document has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether the tree has no value: never, a document without content holds one null.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl<'a> Node<'a> {
    fn entry(self) -> &'a Entry {
        &self.tree.entries[self.index as usize]
    }

    /// The whole text that its tree was read from.
    pub(crate) fn source(self) -> &'a Arc<str> {
        &self.tree.source
    }

    /// Where it stands.
    #[must_use]
    pub fn span(self) -> Span {
        self.entry().span
    }

    /// What it holds.
    #[must_use]
    pub fn data(self) -> Data<'a> {
        match self.entry().stored {
            Stored::Null => Data::Null,
            Stored::Bool(value) => Data::Bool(value),
            Stored::Int(value) => Data::Int(value),
            Stored::UInt(value) => Data::UInt(value),
            Stored::Float(value) => Data::Float(value),
            Stored::Plain { start, end } => Data::Text(&self.tree.source[start as usize..end as usize]),
            Stored::Owned(index) => Data::Text(&self.tree.owned[index as usize]),
            Stored::List => Data::List,
            Stored::Map => Data::Map,
        }
    }

    /// The text of a string; nothing for any other kind of value.
    #[must_use]
    pub fn text(self) -> Option<&'a str> {
        match self.data() {
            Data::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The source bytes that the value was written as.
    #[must_use]
    pub fn written(self) -> &'a str {
        let span = self.span();
        self.tree.source.get(span.start as usize..span.end as usize).unwrap_or_default()
    }

    /// The way to it from the top, as people write it: `spec.http[0].route`. Empty for the top itself.
    #[must_use]
    pub fn path(self) -> String {
        let mut path = String::new();
        let mut at = self.tree.root();
        while at.index != self.index {
            let holds = |child: &Node<'_>| child.index <= self.index && self.index < child.entry().after;
            let step = match at.entry().stored {
                Stored::Map => at.pairs().find(|(key, value)| holds(key) || holds(value)).map(|(key, value)| {
                    let dot = if path.is_empty() { "" } else { "." };
                    path.push_str(dot);
                    path.push_str(key.text().unwrap_or_default());
                    if holds(&key) { key } else { value }
                }),
                Stored::List => at.items().enumerate().find(|(_, item)| holds(item)).map(|(number, item)| {
                    path.push_str(&format!("[{number}]"));
                    item
                }),
                _ => None,
            };
            let Some(next) = step else { return path };
            at = next;
        }
        path
    }

    /// Whether there is no value here.
    #[must_use]
    pub fn is_null(self) -> bool {
        matches!(self.entry().stored, Stored::Null)
    }

    fn children(self) -> Children<'a> {
        let below = matches!(self.entry().stored, Stored::List | Stored::Map);
        Children {
            tree: self.tree,
            next: self.index + 1,
            after: if below { self.entry().after } else { self.index + 1 },
        }
    }

    /// The items of a list; nothing for any other kind of value.
    #[must_use]
    pub fn items(self) -> Children<'a> {
        match self.entry().stored {
            Stored::List => self.children(),
            _ => Children { tree: self.tree, next: 0, after: 0 },
        }
    }

    /// The keys and values of a map, as written; nothing for any other kind of value.
    pub fn pairs(self) -> impl Iterator<Item = (Node<'a>, Node<'a>)> {
        let mut children = match self.entry().stored {
            Stored::Map => self.children(),
            _ => Children { tree: self.tree, next: 0, after: 0 },
        };
        std::iter::from_fn(move || Some((children.next()?, children.next()?)))
    }

    /// The value of a key of a map; of a key written twice, the last.
    #[must_use]
    pub fn get(self, key: &str) -> Option<Node<'a>> {
        self.pairs().filter(|(name, _)| name.text() == Some(key)).last().map(|(_, value)| value)
    }
}

/// The direct children of a list or map.
#[derive(Clone, Debug)]
pub struct Children<'a> {
    tree: &'a Tree,
    next: u32,
    after: u32,
}

impl<'a> Iterator for Children<'a> {
    type Item = Node<'a>;

    fn next(&mut self) -> Option<Node<'a>> {
        if self.after <= self.next {
            return None;
        }
        let node = Node { tree: self.tree, index: self.next };
        self.next = node.entry().after;
        Some(node)
    }
}

/// Fills a [`Tree`] in document order.
#[derive(Debug)]
pub struct TreeBuilder {
    tree: Tree,
}

impl TreeBuilder {
    /// An empty tree over this source text.
    #[must_use]
    pub fn new(source: Arc<str>) -> TreeBuilder {
        TreeBuilder { tree: Tree { source, entries: Vec::new(), owned: Vec::new() } }
    }

    /// The same, with room for about as many values as people write in so many bytes.
    pub(crate) fn for_bytes(source: Arc<str>, bytes: usize) -> TreeBuilder {
        /// The generated meshes and the samples have a value in 9 to 14 bytes.
        const BYTES_OF_VALUE: usize = 8;
        /// A large document grows its tree as it goes.
        const VALUES_MAX: usize = 4096;
        let mut builder = TreeBuilder::new(source);
        builder.tree.entries.reserve((bytes / BYTES_OF_VALUE).min(VALUES_MAX));
        builder
    }

    /// How many values there are so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tree.entries.len()
    }

    /// Whether nothing was added yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tree.entries.is_empty()
    }

    /// Adds a value; a list or map is open until [`TreeBuilder::close`] is called with the index returned here.
    pub fn add(&mut self, data: Data<'_>, span: Span) -> u32 {
        let stored = match data {
            Data::Null => Stored::Null,
            Data::Bool(value) => Stored::Bool(value),
            Data::Int(value) => Stored::Int(value),
            Data::UInt(value) => Stored::UInt(value),
            Data::Float(value) => Stored::Float(value),
            Data::Text(text) => self.store(text, span),
            Data::List => Stored::List,
            Data::Map => Stored::Map,
        };
        let index = u32::try_from(self.tree.entries.len()).expect("NODES_MAX keeps a tree far below 2^32 values");
        self.tree.entries.push(Entry { stored, span, after: index + 1 });
        index
    }

    /// Adds a string that stands in the source as it is: at these bytes, which are within those of the value.
    pub(crate) fn add_text_at(&mut self, text: Span, span: Span) {
        let after = u32::try_from(self.tree.entries.len() + 1).expect("NODES_MAX keeps a tree far below 2^32 values");
        // Where nothing is, is the same place to both readers.
        let Span { start, end } = if text.start == text.end { Span { end: span.start, ..span } } else { text };
        self.tree.entries.push(Entry { stored: Stored::Plain { start, end }, span, after });
    }

    /// Ends the list or map with this index. All values added since are below it.
    pub fn close(&mut self, index: u32) {
        let after = u32::try_from(self.tree.entries.len()).expect("NODES_MAX keeps a tree far below 2^32 values");
        // A block list or map has no brackets to point at: its first child stands for it.
        let first = self.tree.entries.get(index as usize + 1).map(|child| child.span);
        let entry = &mut self.tree.entries[index as usize];
        entry.after = after;
        if let (true, Some(first)) = (entry.span.start == entry.span.end, first) {
            entry.span = first;
        }
    }

    /// The finished tree.
    #[must_use]
    pub fn finish(mut self) -> Tree {
        if self.tree.entries.is_empty() {
            self.add(Data::Null, Span::default());
        }
        self.tree
    }

    /// Most strings stand in the source as they are, quoted or not: those are kept as a range of it.
    fn store(&mut self, text: &str, span: Span) -> Stored {
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
        for skip in [0, 1] {
            let (start, end) = (span.start + skip, span.start + skip + length);
            if end <= span.end && self.tree.source.get(start as usize..end as usize) == Some(text) {
                return Stored::Plain { start, end };
            }
        }
        self.tree.owned.push(text.into());
        Stored::Owned(u32::try_from(self.tree.owned.len() - 1).expect("no more strings than values"))
    }
}
