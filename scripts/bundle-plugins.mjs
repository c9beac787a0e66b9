// What esbuild has to be told of for scripts/build.mjs. Plain JavaScript, for any Node from 18.
import { readFile } from 'node:fs/promises';
import http from 'node:http';

/**
 * An import of node:http reads all its exports, and the getters among them load undici: 16 MB in a sidecar that never
 * uses it. Here it is taken without the getters.
 */
export const leanHttp = {
  name: 'lean-http',
  setup(build) {
    build.onResolve({ filter: /^node:http$/ }, ({ kind, path }) =>
      kind === 'import-statement' ? { path, namespace: 'lean-http' } : undefined,
    );
    build.onLoad({ filter: /./, namespace: 'lean-http' }, () => {
      const plain = Object.entries(Object.getOwnPropertyDescriptors(http)).filter(([, { get }]) => get === undefined);
      const names = plain.map(([name]) => `export const ${name} = http.${name};`);
      return {
        contents: `const http = process.getBuiltinModule('node:http');\nexport default http;\n${names.join('\n')}`,
      };
    });
  },
};

/**
 * The OTLP exporter asks for grpc-js by a `require` of its own making, which a bundler does not see: left so, it would find
 * another grpc-js beside the bundle or none, whose credentials the bundled one refuses, and no span would leave.
 */
export const visibleRequires = {
  name: 'visible-requires',
  setup(build) {
    build.onLoad({ filter: /[\\/]otlp-grpc-exporter-base[\\/]dist[\\/][^\\/]*\.mjs$/ }, async ({ path }) => ({
      contents: (await readFile(path, 'utf8')).replaceAll(/\b__require\(/g, 'require('),
    }));
  },
};
