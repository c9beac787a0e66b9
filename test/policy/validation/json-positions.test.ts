import fc from 'fast-check';
import t from 'tap';
import { LineCounter, parseDocument } from 'yaml';
import { JsonPositions } from '#policy/validation/openapi/json-positions.ts';
import { nodeOffset } from '#policy/yaml/node-offset.ts';

function pathsOf(value: unknown, path: readonly (string | number)[] = []): readonly (readonly (string | number)[])[] {
  if (typeof value !== 'object' || value === null) return [path];
  const entries: readonly [string | number, unknown][] = Array.isArray(value)
    ? value.map((item, index) => [index, item])
    : Object.entries(value);
  return [path, ...entries.flatMap(([key, child]) => pathsOf(child, [...path, key]))];
}

t.test('places are found as a YAML parser finds them', async () => {
  fc.assert(
    fc.property(fc.jsonValue({ depthSize: 'medium' }), fc.constantFrom(0, 2), (value, indent) => {
      const text = JSON.stringify(value, null, indent);
      const lines = new LineCounter();
      const { contents } = parseDocument(text, { lineCounter: lines, uniqueKeys: false });
      const positions = new JsonPositions(text);
      for (const path of pathsOf(value)) {
        if (path.includes('__proto__')) continue;
        for (const where of [undefined, 'key'] as const) {
          const { line, col } = lines.linePos(nodeOffset(contents, path, where));
          const found = positions.at(path, where);
          if (found.line !== line || found.column !== col) {
            throw new Error(`${text} ${JSON.stringify(path)} ${where}: ${JSON.stringify(found)}, not ${line}:${col}`);
          }
        }
      }
    }),
    { numRuns: 300 },
  );
});

t.test('what is not there is told where its way ends', async (t) => {
  const positions = new JsonPositions('{"a": {"b": 1},\n "c": [2]}');
  t.same(positions.at(['a', 'x', 'y'], undefined), { line: 1, column: 7 });
  t.same(positions.at(['c', 5], 'key'), { line: 2, column: 7 });
  t.same(positions.at([], undefined), { line: 1, column: 1 });
});
