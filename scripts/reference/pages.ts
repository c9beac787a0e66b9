import { crdFiles } from '../crds/crd-files.ts';
import { valuesSchemaFile } from '../helm/values-schema.ts';
import { errorPage } from './error-page.ts';
import { helmValuesPage } from './helm-values-page.ts';
import { metaSchemasFile } from './meta-schemas.ts';
import { configurationPage, resourcePage } from './schema-page.ts';

/** Every generated page and manifest by its path; a test compares them with what is committed. */
export const PAGES: { readonly [path: string]: () => string } = {
  'docs/errors.md': errorPage,
  'docs/configuration.md': configurationPage,
  'docs/resources.md': resourcePage,
  'docs/helm-values.md': helmValuesPage,
  'helm/lateral/values.schema.json': valuesSchemaFile,
  'policy/validation/schema/meta-schemas.json': metaSchemasFile,
  ...crdFiles(),
};
