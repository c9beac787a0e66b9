import { Providers } from '#sidecar/authorization/providers.ts';

/** Of a pipeline whose policies ask nobody. */
export const NO_PROVIDERS = new Providers(() => {
  throw new Error('nobody is to be asked');
});
