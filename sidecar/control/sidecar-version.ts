import packageDescription from '../../package.json' with { type: 'json' };

/** Version of the program, as the control plane shows it. */
export const SIDECAR_VERSION: string = packageDescription.version;
