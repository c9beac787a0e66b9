// The part of node-forge that Lateral uses: its ASN.1 module alone. It loads in 6 ms where the whole
// library takes 50, and @types/node-forge does not describe the module by itself.
declare module 'node-forge/lib/asn1.js' {
  /** `value` is a binary string (one character a byte) or, when constructed, the children. */
  interface Asn1Node {
    readonly tagClass: number;
    readonly type: number;
    readonly constructed: boolean;
    readonly value: string | readonly Asn1Node[];
  }

  interface ByteString {
    getBytes(): string;
  }

  const asn1: {
    create(tagClass: number, type: number, constructed: boolean, value: string | readonly Asn1Node[]): Asn1Node;
    fromDer(
      bytes: string,
      options: { readonly strict: boolean; readonly parseAllBytes: boolean; readonly decodeBitStrings: boolean },
    ): Asn1Node;
    toDer(node: Asn1Node): ByteString;
    oidToDer(oid: string): ByteString;
    derToOid(bytes: string): string;
    dateToUtcTime(date: Date): string;
    dateToGeneralizedTime(date: Date): string;
  };

  export type { Asn1Node };
  export default asn1;
}
