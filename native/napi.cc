// The N-API shim. Arguments do not cross one by one: JavaScript writes them into a pinned array of doubles and calls call(kernel), which copies
// them into the queue of its thread (queue.h):
//   [0] calls added so far, written here   [1] instruction set   [2] threads
//   [3] the number of arguments            [4] the place among them of a list's address, -1 where there is no list
//   [5] the kernel that lacked memory, written by missing()
//   [8...] the kernel's arguments in the abi table's order, then its list
#include <node_api.h>
#include <string.h>

#include "abi.h"
#include "file_map.h"
#include "machine.h"
#include "pool_native.h"
#include "queue.h"

// -DCV_ISAS="CV_X(avx2) CV_X(sse2)": the sets this library was built for, best first.
#define CV_X(name) namespace name { extern void (*const kernels[])(const double* slots); }
CV_ISAS
#undef CV_X

namespace {

struct Isa {
  const char* name;
  bool (*runs)();
  void (*const* kernels)(const double* slots);
};

const Isa isas[] = {
#define CV_X(name) {#name, cv::runs_##name, name::kernels},
    CV_ISAS
#undef CV_X
};

// One for each JavaScript thread that loads the library.
struct Instance {
  cv::Queue* queue = cv::take_queue();
  double* slots = nullptr;
  napi_ref slots_ref = nullptr;
  int retained = 0;
};

Instance* instance_of(napi_env env) {
  void* data = nullptr;
  napi_get_instance_data(env, &data);
  return static_cast<Instance*>(data);
}

napi_value argument(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value value = nullptr;
  napi_get_cb_info(env, info, &count, &value, nullptr, nullptr);
  return value;
}

double number(napi_env env, napi_value value) {
  double result = 0;
  napi_get_value_double(env, value, &result);
  return result;
}

napi_value number(napi_env env, double value) {
  napi_value result = nullptr;
  napi_create_double(env, value, &result);
  return result;
}

// slots(count: number): ArrayBuffer, the array that call() reads: made once, so that two copies of the JavaScript that meet
// in one thread write to the same
napi_value slots(napi_env env, napi_callback_info info) {
  Instance* instance = instance_of(env);
  napi_value buffer = nullptr;
  if (instance->slots != nullptr) {
    napi_get_reference_value(env, instance->slots_ref, &buffer);
    return buffer;
  }
  uint32_t count = 0;
  void* data = nullptr;
  napi_get_value_uint32(env, argument(env, info), &count);
  napi_create_arraybuffer(env, count * sizeof(double), &data, &buffer);
  napi_create_reference(env, buffer, 1, &instance->slots_ref);
  instance->slots = static_cast<double*>(data);
  return buffer;
}

// call(kernel: number): on what the slots hold, soon
napi_value call(napi_env env, napi_callback_info info) {
  Instance* instance = instance_of(env);
  double* slots = instance->slots;
  int32_t kernel = 0;
  napi_get_value_int32(env, argument(env, info), &kernel);
  instance->queue->add({isas[(int)slots[1]].kernels[kernel], kernel, (int)slots[2], slots + 8, (int)slots[3], (int)slots[4]});
  slots[0] = (double)instance->queue->added();
  return nullptr;
}

// wait(call: number): until the calls up to that one are done, counted from 1
napi_value wait(napi_env env, napi_callback_info info) {
  instance_of(env)->queue->wait(number(env, argument(env, info)));
  return nullptr;
}

// missing(): number, the bytes that a kernel needed and did not get, once; it and the calls after it were left out
napi_value missing(napi_env env, napi_callback_info) {
  Instance* instance = instance_of(env);
  const cv::Lack lack = instance->queue->take_lack();
  if (lack.bytes > 0) instance->slots[5] = (double)lack.kernel;
  return number(env, (double)lack.bytes);
}

// address(buffer: ArrayBuffer): number
napi_value address(napi_env env, napi_callback_info info) {
  void* data = nullptr;
  size_t length = 0;
  napi_value result = nullptr;
  napi_get_arraybuffer_info(env, argument(env, info), &data, &length);
  napi_create_double(env, (double)(uintptr_t)data, &result);
  return result;
}

// detach(buffer: ArrayBuffer): gives its memory back now, not when the garbage collector finds it
napi_value detach(napi_env env, napi_callback_info info) {
  napi_detach_arraybuffer(env, argument(env, info));
  return nullptr;
}

// map(path: string): { address, bytes, error }, the whole file as read-only memory; error is an errno, 0 where it went well
napi_value map(napi_env env, napi_callback_info info) {
  char path[4096];
  size_t length = 0;
  napi_value result = nullptr;
  napi_create_object(env, &result);
  cv::FileMap made{nullptr, 0, 0};
  if (napi_get_value_string_utf8(env, argument(env, info), path, sizeof path, &length) == napi_ok) made = cv::map_file(path);
  napi_set_named_property(env, result, "address", number(env, (double)(uintptr_t)made.address));
  napi_set_named_property(env, result, "bytes", number(env, (double)made.bytes));
  napi_set_named_property(env, result, "error", number(env, made.error));
  return result;
}

// unmap(address: number, bytes: number)
napi_value unmap(napi_env env, napi_callback_info info) {
  size_t count = 2;
  napi_value values[2];
  napi_get_cb_info(env, info, &count, values, nullptr, nullptr);
  cv::unmap_file((void*)(uintptr_t)number(env, values[0]), (int64_t)number(env, values[1]));
  return nullptr;
}

// advise(address: number, bytes: number, wanted: boolean)
napi_value advise(napi_env env, napi_callback_info info) {
  size_t count = 3;
  napi_value values[3];
  bool wanted = false;
  napi_get_cb_info(env, info, &count, values, nullptr, nullptr);
  napi_get_value_bool(env, values[2], &wanted);
  cv::advise_map((void*)(uintptr_t)number(env, values[0]), (int64_t)number(env, values[1]), wanted);
  return nullptr;
}

// copy(address: number, into: ArrayBuffer): fills it from mapped memory
napi_value copy(napi_env env, napi_callback_info info) {
  size_t count = 2, length = 0;
  napi_value values[2];
  void* into = nullptr;
  napi_get_cb_info(env, info, &count, values, nullptr, nullptr);
  napi_get_arraybuffer_info(env, values[1], &into, &length);
  if (length > 0) memcpy(into, (const void*)(uintptr_t)number(env, values[0]), length);
  return nullptr;
}

// retain(), release(): the threads run while somebody holds them
napi_value retain(napi_env env, napi_callback_info) {
  instance_of(env)->retained++;
  cv::retain_pool();
  return nullptr;
}
napi_value release(napi_env env, napi_callback_info) {
  Instance* instance = instance_of(env);
  if (instance->retained > 0) {
    instance->retained--;
    cv::release_pool();
  }
  return nullptr;
}

// abi(): number, the hash of the table this library was built from
napi_value abi(napi_env env, napi_callback_info) {
  napi_value result = nullptr;
  napi_create_uint32(env, cv::kAbiHash, &result);
  return result;
}

// isas(): { name, runs }[], best first; the place in the list is what slots[1] takes
napi_value list_isas(napi_env env, napi_callback_info) {
  napi_value list = nullptr;
  napi_create_array(env, &list);
  uint32_t place = 0;
  for (const Isa& isa : isas) {
    napi_value entry, name, runs;
    napi_create_object(env, &entry);
    napi_create_string_utf8(env, isa.name, NAPI_AUTO_LENGTH, &name);
    napi_get_boolean(env, isa.runs(), &runs);
    napi_set_named_property(env, entry, "name", name);
    napi_set_named_property(env, entry, "runs", runs);
    napi_set_element(env, list, place++, entry);
  }
  return list;
}

void finalize(napi_env, void* data, void*) {
  Instance* instance = static_cast<Instance*>(data);
  cv::give_queue(instance->queue);
  while (instance->retained-- > 0) cv::release_pool();
  delete instance;
}

}  // namespace

NAPI_MODULE_INIT() {
  cv::ask_machine();
  napi_set_instance_data(env, new Instance, finalize, nullptr);
  const struct {
    const char* name;
    napi_callback function;
  } functions[] = {{"slots", slots},   {"call", call},       {"address", address}, {"detach", detach},
                   {"wait", wait},     {"missing", missing},
                   {"retain", retain}, {"release", release}, {"isas", list_isas},  {"abi", abi},
                   {"map", map},       {"unmap", unmap},     {"advise", advise},   {"copy", copy}};
  for (const auto& f : functions) {
    napi_value value;
    napi_create_function(env, f.name, NAPI_AUTO_LENGTH, f.function, nullptr, &value);
    napi_set_named_property(env, exports, f.name, value);
  }
  return exports;
}
