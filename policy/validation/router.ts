import { parseTemplate, type TemplateSegment, templateShape } from './path-template.ts';

/** What stands at the end of a template. */
export interface Route<T> {
  readonly template: string;
  readonly value: T;
}

export interface RouteMatch<T> {
  readonly route: Route<T>;
  /** Raw (still percent-encoded) text of each parameter, in the template's order. */
  readonly values: readonly string[];
}

interface Branch<T> {
  readonly segment: TemplateSegment;
  readonly shape: string;
  readonly node: Node<T>;
}

interface Node<T> {
  /** By decoded literal. */
  readonly literals: Map<string, Node<T>>;
  /** Segments with parameters, the most literal text first; a bare parameter is last. */
  readonly branches: Branch<T>[];
  route: Route<T> | undefined;
}

/**
 * Templates by segments: at each segment a literal is tried before a parameter (OpenAPI 3.1 §4.8.8: "concrete
 * (non-templated) paths would be matched before their templated counterparts").
 */
export class Router<T> {
  readonly #root: Node<T> = emptyNode();

  /** Adds a template; returns the value that is already there for the same shape, or undefined. */
  add(template: string, value: T): T | undefined {
    const parsed = parseTemplate(template);
    if (parsed.kind === 'invalid') throw new TypeError(`path template ${template} ${parsed.reason}`);
    let node = this.#root;
    for (const segment of parsed.segments) node = child(node, segment);
    if (node.route !== undefined) return node.route.value;
    node.route = { template, value };
    return undefined;
  }

  /** The route of a path (without query), or undefined. Visits each node of the tree at most once. */
  match(path: string): RouteMatch<T> | undefined {
    if (!path.startsWith('/')) return undefined;
    const values: string[] = [];
    const route = find(this.#root, path.slice(1).split('/'), 0, values);
    return route === undefined ? undefined : { route, values };
  }
}

function emptyNode<T>(): Node<T> {
  return { literals: new Map(), branches: [], route: undefined };
}

function child<T>(node: Node<T>, segment: TemplateSegment): Node<T> {
  if (segment.names.length === 0) {
    const literal = segment.literals[0] ?? '';
    const known = node.literals.get(literal);
    if (known !== undefined) return known;
    const made = emptyNode<T>();
    node.literals.set(literal, made);
    return made;
  }
  const shape = templateShape([segment]);
  const known = node.branches.find((branch) => branch.shape === shape);
  if (known !== undefined) return known.node;
  const made = { segment, shape, node: emptyNode<T>() };
  node.branches.push(made);
  node.branches.sort((left, right) => literalLength(right.segment) - literalLength(left.segment));
  return made.node;
}

function literalLength(segment: TemplateSegment): number {
  return segment.literals.reduce((sum, literal) => sum + literal.length, 0);
}

function find<T>(node: Node<T>, parts: readonly string[], index: number, values: string[]): Route<T> | undefined {
  const part = parts[index];
  if (part === undefined) return node.route;
  const literal = node.literals.get(decoded(part));
  if (literal !== undefined) {
    const route = find(literal, parts, index + 1, values);
    if (route !== undefined) return route;
  }
  for (const branch of node.branches) {
    const length = values.length;
    if (matchSegment(branch.segment, part, values)) {
      const route = find(branch.node, parts, index + 1, values);
      if (route !== undefined) return route;
    }
    values.length = length;
  }
  return undefined;
}

/** A segment as literals are compared; one with a broken encoding is compared as it came. */
function decoded(part: string): string {
  if (!part.includes('%')) return part;
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** Takes the parameters of a segment out of its raw text: each is at least one character, the first ones the shortest. */
function matchSegment(segment: TemplateSegment, part: string, values: string[]): boolean {
  const { literals, names } = segment;
  const prefix = literals[0] ?? '';
  const suffix = literals[names.length] ?? '';
  if (names.length === 1 && prefix === '' && suffix === '') {
    if (part === '') return false;
    values.push(part);
    return true;
  }
  // Literals of mixed segments are compared with the raw text: where an encoded literal ends is not defined.
  if (!part.startsWith(prefix)) return false;
  let at = prefix.length;
  for (let index = 1; index < names.length; index++) {
    const literal = literals[index] ?? '';
    const next = part.indexOf(literal, at + 1);
    if (next < 0) return false;
    values.push(part.slice(at, next));
    at = next + literal.length;
  }
  const end = part.length - suffix.length;
  if (end <= at || !part.endsWith(suffix)) return false;
  values.push(part.slice(at, end));
  return true;
}
