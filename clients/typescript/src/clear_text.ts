const CLEAR_TEXT = /^\s*http:/i;
const THIS_MACHINE = /^http:\/\/(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?(\/|$)/i;

/** What both transports can be told of their safety. */
export interface Safety {
  /** Sends tokens in clear text to another machine. Without it `http:` is only for this one. */
  insecure?: boolean;
}

/**
 * Refuses to send tokens in clear text to another machine.
 *
 * @throws TypeError when the address is one of `http:`, not of this machine, and nobody asked for it.
 */
export function refuseClearText(baseUrl: string, { insecure }: Safety): void {
  if (!insecure && CLEAR_TEXT.test(baseUrl) && !THIS_MACHINE.test(baseUrl)) {
    throw new TypeError(`${baseUrl} would get tokens in clear text: use https, or {insecure: true} in a trusted network`);
  }
}
