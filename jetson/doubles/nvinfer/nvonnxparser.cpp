// A stand-in for libnvonnxparser, for tests: reads into the network of the stand-in for libnvinfer.
#include "network.hpp"

#include <NvOnnxParser.h>

#include <cstdio>
#include <cstdlib>

namespace egret_double {

Knobs knobs;   // its own, and unused: the network counts nothing

[[noreturn]] void missing(char const* what) {
    std::fprintf(stderr, "the double has no %s\n", what);
    std::abort();
}

class Error final : public nvonnxparser::IParserError {
public:
    explicit Error(Complaint complaint) : complaint_{std::move(complaint)} {}
    nvonnxparser::ErrorCode code() const override { return static_cast<nvonnxparser::ErrorCode>(complaint_.code); }
    char const* desc() const override { return complaint_.reason.c_str(); }
    char const* file() const override { return "onnx.hpp"; }
    int line() const override { return 1; }
    char const* func() const override { return "read_onnx"; }
    int node() const override { return complaint_.node; }
    char const* nodeName() const override { return complaint_.name.c_str(); }
    char const* nodeOperator() const override { return complaint_.op.c_str(); }
    char const* const* localFunctionStack() const override { return nullptr; }
    int32_t localFunctionStackSize() const override { return 0; }

private:
    Complaint complaint_;
};

class Parser final : public nvonnxparser::StubParser {
public:
    explicit Parser(Network& network) : network_{network} {}
    bool parse(void const* onnx, size_t size, char const*) noexcept override {
        std::vector<Complaint> complaints;
        auto graph = read_onnx(onnx, size, complaints);
        for (auto& complaint : complaints) {
            errors_.emplace_back(std::move(complaint));
        }
        if (errors_.empty()) {
            network_.take({static_cast<char const*>(onnx), size}, std::move(graph));
        }
        return errors_.empty();
    }
    int getNbErrors() const noexcept override { return static_cast<int>(errors_.size()); }
    nvonnxparser::IParserError const* getError(int index) const noexcept override { return &errors_[static_cast<size_t>(index)]; }

private:
    Network& network_;
    std::vector<Error> errors_;
};

}   // namespace egret_double

extern "C" __attribute__((visibility("default"))) void* createNvOnnxParser_INTERNAL(void* network, void*, int) noexcept {
    auto* definition = static_cast<nvinfer1::INetworkDefinition*>(network);
    return static_cast<nvonnxparser::IParser*>(new egret_double::Parser{static_cast<egret_double::Network&>(*definition)});
}
