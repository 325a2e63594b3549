// INetworkDefinition with its tensors and layers, as the parser fills it.
#pragma once

#include "onnx.hpp"
#include "parts.hpp"

#include <memory>

namespace egret_double {

class Tensor final : public nvinfer1::ITensor, public nvinfer1::apiv::StubTensor {
public:
    Tensor(std::string name, Shape shape) : name_{std::move(name)}, shape_{std::move(shape)} { mImpl = this; }
    char const* getName() const noexcept override { return name_.c_str(); }
    nvinfer1::Dims getDimensions() const noexcept override { return dims(shape_); }
    nvinfer1::DataType getType() const noexcept override { return nvinfer1::DataType::kFLOAT; }
    bool isShapeTensor() const noexcept override { return false; }

private:
    std::string name_;
    Shape shape_;
};

class Layer final : public nvinfer1::ILayer, public nvinfer1::apiv::StubLayer {
public:
    explicit Layer(Node node) : node_{std::move(node)} { mLayer = this; }
    char const* getName() const noexcept override { return node_.name.c_str(); }
    nvinfer1::LayerType getType() const noexcept override {
        using Type = nvinfer1::LayerType;
        if (node_.op == "Conv") return Type::kCONVOLUTION;
        if (node_.op == "Identity") return Type::kIDENTITY;
        return is_pointwise(node_.op) ? Type::kACTIVATION : Type::kELEMENTWISE;
    }

private:
    Node node_;
};

class Network : public nvinfer1::INetworkDefinition, public nvinfer1::apiv::StubNetworkDefinition {
public:
    Network() { mImpl = this; }
    // From the parser, which is a library of its own: virtual, so that the code is this library's.
    virtual void take(std::string onnx, Graph graph) {
        onnx_ = std::move(onnx);
        graph_ = std::move(graph);
        auto const shapes = infer(graph_, graph_.inputs);
        for (auto const& input : graph_.inputs) {
            inputs_.push_back(std::make_unique<Tensor>(input.first, input.second));
        }
        for (auto const& output : graph_.outputs) {
            outputs_.push_back(std::make_unique<Tensor>(output, shapes.at(output)));
        }
        for (auto const& node : graph_.nodes) {
            layers_.push_back(std::make_unique<Layer>(node));
        }
    }
    Graph const& graph() const { return graph_; }
    std::string const& onnx() const { return onnx_; }

    int32_t getNbInputs() const noexcept override { return static_cast<int32_t>(inputs_.size()); }
    int32_t getNbOutputs() const noexcept override { return static_cast<int32_t>(outputs_.size()); }
    int32_t getNbLayers() const noexcept override { return static_cast<int32_t>(layers_.size()); }
    nvinfer1::ITensor* getInput(int32_t index) const noexcept override { return inputs_[static_cast<size_t>(index)].get(); }
    nvinfer1::ITensor* getOutput(int32_t index) const noexcept override { return outputs_[static_cast<size_t>(index)].get(); }
    nvinfer1::ILayer* getLayer(int32_t index) const noexcept override { return layers_[static_cast<size_t>(index)].get(); }

private:
    std::string onnx_;
    Graph graph_;
    std::vector<std::unique_ptr<Tensor>> inputs_, outputs_;
    std::vector<std::unique_ptr<Layer>> layers_;
};

}   // namespace egret_double
