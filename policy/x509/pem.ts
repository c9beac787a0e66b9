/** Most certificates a PEM file may hold (a bundle of roots, a chain). */
const MAX_CERTIFICATES = 100;

/** DER of each CERTIFICATE block, in order. Text between blocks is passed over (RFC 7468 §2). */
export function certificatesFromPem(pem: string): Buffer[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length > MAX_CERTIFICATES) {
    throw new Error(`${blocks.length} certificates exceed the limit of ${MAX_CERTIFICATES}`);
  }
  return blocks.map((block) => Buffer.from(block.replace(/-----[^-]+-----/g, ''), 'base64'));
}

/** CERTIFICATE blocks, one after the other. */
export function certificatesToPem(certificates: readonly Buffer[]): string {
  return certificates.map(certificateToPem).join('');
}

/** RFC 7468 §2: lines of 64 characters. */
function certificateToPem(der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}
