/** The part of the codec that is used; the package has no types of its own. */
declare module "@cornerstonejs/codec-openjpeg/wasmjs" {
  interface J2KEncoder {
    /** A view of the codec's memory, for the picture's bytes. */
    getDecodedBuffer(frame: {
      readonly width: number;
      readonly height: number;
      readonly bitsPerSample: number;
      readonly componentCount: number;
      readonly isSigned: boolean;
    }): Uint8Array;
    setDecompositions(decompositions: number): void;
    setQuality(lossless: boolean, layers: number): void;
    setCompressionRatio(layer: number, ratio: number): void;
    encode(): void;
    /** A view of the codec's memory. */
    getEncodedBuffer(): Uint8Array;
    delete(): void;
  }
  interface J2KDecoder {
    /** A view of the codec's memory, for the file's bytes. */
    getEncodedBuffer(bytes: number): Uint8Array;
    decode(): void;
    /** A view of the codec's memory. */
    getDecodedBuffer(): Uint8ClampedArray;
    delete(): void;
  }
  export interface OpenJpeg {
    readonly J2KEncoder: new () => J2KEncoder;
    readonly J2KDecoder: new () => J2KDecoder;
  }
  export default function create(options: { readonly print: (line: string) => void }): Promise<OpenJpeg>;
}
