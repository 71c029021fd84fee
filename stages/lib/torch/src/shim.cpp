// What CPU training needs from libtorch and the Rust bindings do not have. No exception leaves this file: a function
// that can fail returns null, or the error's text in memory that `sw_free_text` takes back.
//
// Tensors cross as pointers to `at::Tensor`, which is what the bindings' handles are.

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <ATen/autocast_mode.h>

#include <dlfcn.h>

#include <cstdlib>
#include <cstring>
#include <exception>
#include <vector>

namespace {

char* text_of(const char* message) {
  char* copy = strdup(message);
  // Out of memory for an error's text: anything that is not null still says "failed".
  return copy != nullptr ? copy : const_cast<char*>("");
}

template <class Work>
char* guarded(Work work) {
  try {
    work();
    return nullptr;
  } catch (const c10::Error& error) {
    return text_of(error.what_without_backtrace());
  } catch (const std::exception& error) {
    return text_of(error.what());
  } catch (...) {
    return text_of("an exception of unknown type");
  }
}

// Same place in memory for each element? Strides of dimensions of size 1 mean nothing.
bool same_order(const at::Tensor& left, const at::Tensor& right) {
  if (left.sizes() != right.sizes()) return false;
  for (int64_t dim = 0; dim < left.dim(); ++dim) {
    if (left.size(dim) != 1 && left.stride(dim) != right.stride(dim)) return false;
  }
  return true;
}

// One optimizer step's operands: parameters that have a gradient, the gradient in the parameter's memory order, and
// the states that belong to them. The fused kernels walk all of them as flat memory and check nothing.
struct Operands {
  std::vector<at::Tensor> parameters, gradients;
  std::vector<size_t> origin;

  Operands(at::Tensor* const* all, size_t count) {
    for (size_t i = 0; i < count; ++i) {
      const at::Tensor& parameter = *all[i];
      at::Tensor gradient = parameter.grad();
      if (!gradient.defined()) continue;
      TORCH_CHECK(
          parameter.is_non_overlapping_and_dense(), "parameter ", i, " is a view with gaps, which no fused step can take");
      if (!same_order(parameter, gradient)) gradient = at::empty_like(parameter).copy_(gradient);
      parameters.push_back(parameter.detach());
      gradients.push_back(gradient);
      origin.push_back(i);
    }
  }

  std::vector<at::Tensor> states(at::Tensor* const* all, const char* name) const {
    std::vector<at::Tensor> chosen;
    for (size_t k = 0; k < origin.size(); ++k) {
      const at::Tensor& state = *all[origin[k]];
      TORCH_CHECK(
          same_order(state, parameters[k]) && state.dtype() == parameters[k].dtype(), name, " of parameter ", origin[k],
          " has shape ", state.sizes(), " and strides ", state.strides(), ", the parameter ", parameters[k].sizes(), " and ",
          parameters[k].strides());
      chosen.push_back(state);
    }
    return chosen;
  }
};

}  // namespace

extern "C" {

void sw_free_text(char* text) {
  if (text != nullptr && *text != '\0') std::free(text);
}

// Autocast as Python's context manager does it. `before` keeps what was set: whether on, and the dtype.
char* sw_autocast_enter(bool cuda, int* before_enabled, int* before_dtype) {
  return guarded([&] {
    const auto device = cuda ? at::kCUDA : at::kCPU;
    *before_enabled = at::autocast::is_autocast_enabled(device);
    *before_dtype = static_cast<int>(at::autocast::get_autocast_dtype(device));
    at::autocast::set_autocast_dtype(device, at::kBFloat16);
    at::autocast::set_autocast_enabled(device, true);
    at::autocast::increment_nesting();
  });
}

void sw_autocast_leave(bool cuda, int before_enabled, int before_dtype) {
  sw_free_text(guarded([&] {
    const auto device = cuda ? at::kCUDA : at::kCPU;
    if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(device, before_enabled != 0);
    at::autocast::set_autocast_dtype(device, static_cast<at::ScalarType>(before_dtype));
  }));
}

char* sw_channels_last(const at::Tensor* tensor, at::Tensor** out) {
  return guarded([&] { *out = new at::Tensor(tensor->contiguous(at::MemoryFormat::ChannelsLast)); });
}

char* sw_set_deterministic(bool on) {
  return guarded([&] {
    at::globalContext().setDeterministicAlgorithms(on, /*warn_only=*/false);
    at::globalContext().setDeterministicMkldnn(on);
    at::globalContext().setDeterministicCuDNN(on);
    if (on) at::globalContext().setBenchmarkCuDNN(false);
  });
}

bool sw_set_flush_denormal(bool on) { return at::globalContext().setFlushDenormal(on); }

// L2 norm of each gradient (0 where there is none) and of all together; with `max_norm` ≥ 0, all gradients times
// min(1, max_norm / (total + 1e-6)), as torch.nn.utils.clip_grad_norm_ does.
char* sw_clip_gradients(at::Tensor* const* parameters, size_t count, double max_norm, double* each, double* total) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    std::vector<at::Tensor> gradients;
    std::vector<size_t> origin;
    for (size_t i = 0; i < count; ++i) {
      each[i] = 0.0;
      at::Tensor gradient = parameters[i]->grad();
      if (!gradient.defined()) continue;
      gradients.push_back(gradient.detach());
      origin.push_back(i);
    }
    *total = 0.0;
    if (gradients.empty()) return;
    const at::Tensor norms = at::stack(at::_foreach_norm(gradients, 2)).to(at::kFloat);
    const at::Tensor all = norms.norm(2);
    *total = all.item<double>();
    const at::Tensor on_host = norms.to(at::kDouble).cpu().contiguous();
    for (size_t k = 0; k < origin.size(); ++k) each[origin[k]] = on_host.const_data_ptr<double>()[k];
    if (max_norm >= 0.0) at::_foreach_mul_(gradients, (max_norm / (all + 1e-6)).clamp_max(1.0));
  });
}

char* sw_adamw_step(
    at::Tensor* const* parameters, at::Tensor* const* first, at::Tensor* const* second, at::Tensor* const* steps,
    size_t count, double lr, double beta1, double beta2, double weight_decay, double eps) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    const Operands operands(parameters, count);
    if (operands.parameters.empty()) return;
    auto exp_avg = operands.states(first, "the first moment");
    auto exp_avg_sq = operands.states(second, "the second moment");
    std::vector<at::Tensor> counts;
    for (size_t i : operands.origin) counts.push_back(*steps[i]);
    at::_foreach_add_(counts, 1);
    at::_fused_adamw_(
        operands.parameters, operands.gradients, exp_avg, exp_avg_sq, {}, counts, lr, beta1, beta2, weight_decay, eps,
        /*amsgrad=*/false, /*maximize=*/false);
  });
}

char* sw_sgd_step(
    at::Tensor* const* parameters, at::Tensor* const* momentum_buffers, size_t count, double lr, double momentum,
    double dampening, double weight_decay, bool nesterov, bool first_step) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    const Operands operands(parameters, count);
    if (operands.parameters.empty()) return;
    std::vector<at::Tensor> buffers;
    if (momentum != 0.0) buffers = operands.states(momentum_buffers, "the momentum");
    at::_fused_sgd_(
        operands.parameters, operands.gradients, buffers, weight_decay, momentum, lr, dampening, nesterov,
        /*maximize=*/false, first_step);
  });
}

// Loads libtorch's CUDA half if it lies beside the CPU half. The linker drops it from the binary, since nothing refers
// to it by name, and libtorch asks for CUDA only once, so this must come before anything asks. Must run while no
// other thread reads the environment.
char* sw_load_cuda(bool async_allocator) {
  if (async_allocator) {
    setenv("PYTORCH_ALLOC_CONF", "backend:cudaMallocAsync", /*overwrite=*/1);
    setenv("PYTORCH_CUDA_ALLOC_CONF", "backend:cudaMallocAsync", /*overwrite=*/1);
  }
  if (dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL) != nullptr) return nullptr;
  const char* reason = dlerror();
  return text_of(reason != nullptr ? reason : "libtorch_cuda.so does not load");
}

}  // extern "C"
