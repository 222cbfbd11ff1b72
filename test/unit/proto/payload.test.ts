import { create, fromJson } from '@bufbuild/protobuf';
import { NullValue, ValueSchema } from '@bufbuild/protobuf/wkt';
import { describe, expect, it } from 'vitest';
import { PayloadSchema, PayloadView } from '../../../proto/gen/remuda/v1/payload_pb.js';
import { isJson } from '../../../proto/payload-content.js';
import { parseJson, payloadContent, payloadView, requireJson } from '../../../proto/payload.js';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (data: Uint8Array): string => new TextDecoder().decode(data);

function valuePayload(json: Parameters<typeof fromJson>[1], contentType = '') {
  return create(PayloadSchema, { contentType, body: { case: 'value', value: fromJson(ValueSchema, json) } });
}

describe('payloadContent', () => {
  it.each([
    ['null', null],
    ['true', true],
    ['-1.5', -1.5],
    ['"ü\\n"', 'ü\n'],
    ['[1,[],{}]', [1, [], {}]],
    ['{"a":{"b":[null]}}', { a: { b: [null] } }],
  ])('should turn value into the JSON text %s', (expected, json) => {
    const content = payloadContent(valuePayload(json));
    expect(content.contentType).toBe('application/json');
    expect(text(content.data)).toBe(expected);
  });

  it('should leave data as it is', () => {
    const data = new Uint8Array([0, 255]);
    const payload = create(PayloadSchema, { contentType: 'image/png', body: { case: 'data', value: data } });
    expect(payloadContent(payload)).toEqual({ contentType: 'image/png', data });
  });

  it('should read nothing at all as JSON null', () => {
    expect(text(payloadContent(undefined).data)).toBe('null');
    expect(payloadContent(create(PayloadSchema)).contentType).toBe('application/json');
  });

  it.each([NaN, Infinity, -Infinity])('should refuse %s', (number) => {
    const value = create(ValueSchema, { kind: { case: 'numberValue', value: number } });
    const payload = create(PayloadSchema, { body: { case: 'value', value } });
    expect(() => payloadContent(payload, 'task.payload')).toThrow(
      expect.objectContaining({
        reason: 'PAYLOAD_NOT_JSON',
        message: expect.stringMatching(/^task\.payload\.value: holds NaN/),
      }),
    );
  });

  it('should refuse an empty Value', () => {
    const payload = create(PayloadSchema, { body: { case: 'value', value: create(ValueSchema) } });
    expect(() => payloadContent(payload)).toThrow(expect.objectContaining({ reason: 'PAYLOAD_NOT_JSON' }));
  });

  it('should refuse value under another content type', () => {
    expect(() => payloadContent(valuePayload(1, 'text/plain'))).toThrow(/payload\.content_type: is "text\/plain"/);
    expect(text(payloadContent(valuePayload(1, 'application/json')).data)).toBe('1');
  });

  it('should keep a key named __proto__', () => {
    const json = JSON.parse('{"__proto__":{"a":1}}') as { [key: string]: never };
    expect(text(payloadContent(valuePayload(json)).data)).toBe('{"__proto__":{"a":1}}');
  });
});

describe('payloadView', () => {
  const json = { contentType: 'application/json', data: bytes('{"a":[1,null]}') };

  it('should give JSON as value when asked', () => {
    const view = payloadView(json, PayloadView.VALUE);
    expect(view?.body.case).toBe('value');
    expect(text(payloadContent(view).data)).toBe('{"a":[1,null]}');
  });

  it.each([PayloadView.DATA, PayloadView.UNSPECIFIED, 77 as PayloadView])('should give data for view %s', (view) => {
    expect(payloadView(json, view)?.body).toEqual({ case: 'data', value: json.data });
  });

  it('should give nothing for NONE', () => {
    expect(payloadView(json, PayloadView.NONE)).toBeUndefined();
  });

  it.each([
    ['no JSON', 'application/json', '{'],
    ['another type', 'text/plain', '1'],
    ['too deep for a Value', 'application/json', '['.repeat(100_000) + ']'.repeat(100_000)],
    ['a number beyond a double', 'application/json', '1e999'],
  ])('should leave %s as data', (_, contentType, data) => {
    expect(payloadView({ contentType, data: bytes(data) }, PayloadView.VALUE)?.body.case).toBe('data');
  });

  it('should give null as the null of Value', () => {
    const body = payloadView({ contentType: 'application/json', data: bytes('null') }, PayloadView.VALUE)?.body;
    expect(body?.case === 'value' && body.value.kind).toEqual({ case: 'nullValue', value: NullValue.NULL_VALUE });
  });
});

describe('JSON', () => {
  it.each(['application/json', 'application/json; charset=utf-8', 'Application/JSON ;x=y'])(
    'should know %s',
    (contentType) => {
      expect(isJson(contentType)).toBe(true);
    },
  );

  it.each(['', 'text/json', 'application/json5', 'application/problem+json'])(
    'should not take %s for it',
    (contentType) => {
      expect(isJson(contentType)).toBe(false);
    },
  );

  it('should parse text and nothing else', () => {
    expect(parseJson(bytes('[1]'))).toEqual([1]);
    expect(parseJson(bytes('null'))).toBeNull();
    expect(parseJson(bytes(''))).toBeUndefined();
    expect(parseJson(new Uint8Array([0x22, 0xff, 0x22]))).toBeUndefined();
  });

  it.each(['{"a":', '', 'nul', '{}{}'])('should refuse %j at the door with what is wrong', (data) => {
    expect(() => requireJson({ contentType: 'application/json', data: bytes(data) })).toThrow(
      expect.objectContaining({
        reason: 'PAYLOAD_NOT_JSON',
        message: expect.stringMatching(/^payload\.data: is no JSON \(/),
      }),
    );
  });

  it('should let JSON and other types through the door', () => {
    requireJson({ contentType: 'application/json', data: bytes('{"a":1}') });
    requireJson({ contentType: 'image/png', data: bytes('{') });
  });
});
