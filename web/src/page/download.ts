/** Downloads that say how much has arrived, and that give up when nothing arrives any more. */

const PATIENCE = 20_000; // milliseconds without a new byte

/**
 * Returns the content of a file.
 *
 * @param received is called with the number of bytes in each piece that arrives.
 */
export async function download(address: URL, received: (bytes: number) => void): Promise<ArrayBuffer> {
  const stop = new AbortController();
  let timer: number | undefined;
  const wait = () => {
    clearTimeout(timer);
    timer = window.setTimeout(() => stop.abort(), PATIENCE);
  };
  wait();
  try {
    const response = await fetch(address, { signal: stop.signal });
    if (!response.ok) throw new Error(`status ${response.status}`);
    const counter = new TransformStream<Uint8Array, Uint8Array<ArrayBuffer>>({
      transform(piece, output) {
        wait();
        received(piece.length);
        output.enqueue(Uint8Array.from(piece));
      },
    });
    return await new Response(response.body!.pipeThrough(counter)).arrayBuffer();
  } catch (error) {
    throw new Error("the download broke off", { cause: error });
  } finally {
    clearTimeout(timer);
  }
}
