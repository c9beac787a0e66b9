/** A header's name in lower case as apps behind CGI and its heirs read it, to which `x_user` and `x-user` are one. */
export function dashedName(lowerName: string): string {
  return lowerName.includes('_') ? lowerName.replaceAll('_', '-') : lowerName;
}
