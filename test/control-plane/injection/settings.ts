import { INJECTION_CONFIGURATION, type InjectionSettings } from '#control-plane/injection/injection-configuration.ts';
import { textContext } from '#policy/schema/document-context.ts';

export const ROOT_PEM = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n';

/** Settings of a mesh `cluster.local`; `injection`: the section of ControlPlaneConfig. */
export function injectionSettings(
  injection: object = {},
  kubernetesVersion: string | undefined = 'v1.34.4',
): InjectionSettings {
  const faults: string[] = [];
  const configuration = INJECTION_CONFIGURATION.read(
    { image: 'localhost/lateral:dev', ...injection },
    [],
    textContext(faults, 'injection'),
  );
  if (configuration === undefined) throw new Error(faults.join('\n'));
  return {
    configuration,
    mesh: { trustDomain: 'cluster.local', rootNamespace: 'lateral-system' },
    rootCertificatesPem: ROOT_PEM,
    version: '0.1.0',
    kubernetesVersion,
    newKey: () => 'a-key',
  };
}
