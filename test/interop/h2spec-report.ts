/** One case of h2spec. */
export interface H2specCase {
  /** As h2spec takes it on its command line: `http2/6.9.1`. */
  readonly section: string;
  readonly title: string;
  readonly outcome: 'passed' | 'skipped' | 'failed';
  /** What was expected and what came, of a case that failed. */
  readonly detail: string;
}

const CASE =
  /<testcase package="(?<section>[^"]*)" classname="(?<title>[^"]*)"[^>]*?(?:\/>|>(?<content>.*?)<\/testcase>)/gs;

/** Reads the report that h2spec writes with `--junit-report`, in its order. */
export function readH2specReport(xml: string): H2specCase[] {
  return [...xml.matchAll(CASE)].map(({ groups }) => {
    const content = groups?.['content'] ?? '';
    return {
      section: decode(groups?.['section'] ?? ''),
      title: decode(groups?.['title'] ?? ''),
      outcome: content.includes('<skipped>') ? 'skipped' : content === '' ? 'passed' : 'failed',
      detail: decode(content.replaceAll(/<\/?(?:failure|error|skipped)>/g, '')).trim(),
    };
  });
}

const ENTITIES: { readonly [name: string]: string } = { lt: '<', gt: '>', amp: '&', quot: '"', '#34': '"', '#39': "'" };

function decode(text: string): string {
  return text.replaceAll(/&([#\w]+);/g, (whole, name: string) => ENTITIES[name] ?? whole);
}
