const NO_CHILDREN: never[] = [];

/** A node of a radix tree while it is built: the text of the edge that leads to it, and what stands there. */
export class TrieNode<Value> {
  label: string;
  /** By the first code unit of their labels, ascending. */
  children: TrieNode<Value>[] = NO_CHILDREN;
  /** What follows a whole segment of a path, whatever it is (`{*}`). */
  segment: TrieNode<Value> | undefined = undefined;
  /** For texts that begin with what leads here. */
  start: Value | undefined = undefined;
  /** For texts that are what leads here. */
  whole: Value | undefined = undefined;

  constructor(label: string) {
    this.label = label;
  }

  /** The node that `text` leads to from here; edges are split where it leaves them. */
  nodeOf(text: string): TrieNode<Value> {
    let node: TrieNode<Value> = this;
    let position = 0;
    while (position < text.length) {
      const code = text.charCodeAt(position);
      const place = placeOf(node.children, code);
      const child = node.children[place];
      if (child === undefined || child.label.charCodeAt(0) !== code) {
        const made = new TrieNode<Value>(text.slice(position));
        if (node.children === NO_CHILDREN) node.children = [made];
        else node.children.splice(place, 0, made);
        return made;
      }
      const shared = sharedLength(child.label, text, position);
      if (shared < child.label.length) node.children[place] = split(child, shared);
      node = node.children[place] ?? child;
      position += shared;
    }
    return node;
  }
}

/** Where the child with this first code unit is, or would be. */
function placeOf<Value>(children: readonly TrieNode<Value>[], code: number): number {
  let low = 0;
  let high = children.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((children[middle]?.label.charCodeAt(0) ?? 0) < code) low = middle + 1;
    else high = middle;
  }
  return low;
}

function split<Value>(child: TrieNode<Value>, at: number): TrieNode<Value> {
  const upper = new TrieNode<Value>(child.label.slice(0, at));
  child.label = child.label.slice(at);
  upper.children = [child];
  return upper;
}

function sharedLength(label: string, text: string, position: number): number {
  let length = 0;
  const limit = Math.min(label.length, text.length - position);
  while (length < limit && label.charCodeAt(length) === text.charCodeAt(position + length)) length++;
  return length;
}
